// PouchDB in Node where the network fails in the midst: what it loses by itself, and that sync.mjs of
// ../../examples/offline-notes loses nothing.
//   node pouchdb-network.mjs BASE_URL
import { createServer } from 'node:net';
import PouchDB from 'pouchdb';
import memory from 'pouchdb-adapter-memory';
import { LiveSync, ended, fetchInNode } from '../../examples/offline-notes/sync.mjs';
import { Network } from './network.mjs';
import { must } from './replicas.mjs';
import { script, assert, until } from './steps.mjs';
PouchDB.plugin(memory);
const { base, tag, step, done } = script('pouchdb-network');

const HANGS_MS = 1000;
const url = `${base}/${tag}`;
const IDS = ['one', 'three', 'two'];
await must(url, 'PUT');
for (const _id of IDS) await must(url, 'POST', { _id });

const remote = (fetch) => new PouchDB(url, { skip_setup: true, fetch });
const ids = async (local) => (await local.allDocs()).rows.map(({ id }) => id);
const options = { batch_size: 1 };

for (const [who, over] of [
  ['PouchDB alone', (replication) => replication],
  ['ended', ended],
]) {
  await step(`${who}: what waited when a replication failed comes with the next`, async () => {
    const local = new PouchDB(`${tag}_${who}`, { adapter: 'memory' }), network = new Network();
    const far = remote(network.through(fetchInNode));
    await assert.rejects(async () => { await over(PouchDB.replicate(far, local, options)); });
    await network.calm();
    await PouchDB.replicate(remote(fetchInNode), local, options);
    assert.deepEqual(await ids(local), IDS);
  });
}

await step('a replication without checkpoints brings what was missed', async () => {
  const local = new PouchDB(`${tag}_PouchDB alone`, { adapter: 'memory' });
  await PouchDB.replicate(remote(fetchInNode), local, { checkpoint: false });
  assert.deepEqual(await ids(local), IDS);
});

await step('LiveSync: what waited when it failed comes when it tries again', async () => {
  const local = new PouchDB(`${tag}_live`, { adapter: 'memory' }), network = new Network();
  const failures = [];
  const sync = new LiveSync(local, remote(network.through(fetchInNode)), { retryMs: 1, onFailure: (error) => failures.push(error), ...options });
  await network.cut;
  network.letOn();
  await until('all documents are there', async () => (await ids(local)).length === IDS.length);
  await local.put({ _id: 'four' });
  await until('the fourth is on the server', () => must(`${url}/four`).then(() => true));
  await sync.stop();
  assert.equal(failures.length, 1);
});

await step('LiveSync: ends where it is refused', async () => {
  const local = new PouchDB(`${tag}_refused`, { adapter: 'memory' });
  const stranger = new URL(url);
  stranger.username = stranger.password = '';
  const refused = await new Promise((onDenied) => new LiveSync(local, new PouchDB(stranger.href, { skip_setup: true, fetch: fetchInNode }), { retryMs: 1, onDenied }));
  assert.equal(refused.status, 401);
});

const short = createServer((socket) => {
  socket.on('error', () => {});
  socket.once('data', () => socket.end('HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nnot all'));
});
await new Promise((ok) => short.listen(0, '127.0.0.1', ok));
for (const [who, fetch] of [["PouchDB's own fetch", PouchDB.fetch], ['fetchInNode', fetchInNode]]) {
  await step(`${who}: a reply that ends too early is an error`, async () => {
    let timer;
    const late = new Promise((ok) => { timer = setTimeout(() => ok('still waiting'), HANGS_MS); });
    const reply = fetch(`http://127.0.0.1:${short.address().port}/`).then((it) => it.text()).then(() => 'a whole reply', () => 'an error');
    assert.equal(await Promise.race([reply, late]), 'an error');
    clearTimeout(timer);
  });
}
short.close();
done();
