// settle-outbox in Node against a real server, also on a bad network:
//   node outbox.mjs BASE_URL --program PROGRAM
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import PouchDB from 'pouchdb';
import memory from 'pouchdb-adapter-memory';
import { FileStore } from '../../clients/settle-outbox/file.js';
import { MemoryStore, Outbox } from '../../clients/settle-outbox/index.js';
import { assertSame, branch, contents, must } from './replicas.mjs';
import { slowProxy } from './slow-proxy.mjs';
import { script, assert } from './steps.mjs';
PouchDB.plugin(memory);
const program = process.argv[process.argv.indexOf('--program') + 1];
const { base, tag, step, done } = script('outbox');
const folder = await mkdtemp(join(tmpdir(), 'outbox-'));

/** A new database, with documents. */
async function database(name, docs = []) {
  const url = `${base}/${tag}-${name}`;
  await must(url, 'PUT');
  if (docs.length > 0) await must(`${url}/_bulk_docs`, 'POST', { docs });
  return url;
}
/** An outbox that gathers until `resume`. What it asked is in `asked`. */
async function gathering(url, options = {}) {
  const asked = [];
  const counting = (address, request) => {
    if (address.endsWith('/_transact')) asked.push(JSON.parse(request.body).transactions.length);
    return fetch(address, request);
  };
  const outbox = await Outbox.open(url, { paused: true, fetch: counting, backoffFirstMs: 20, backoffMaxMs: 200, ...options });
  return { outbox, asked };
}
const inc = (id, by = 1) => ({ writes: [{ id, ops: [{ inc: { field: 'n', by } }] }] });
const all = (added) => Promise.all(added.map(({ outcome }) => outcome));

await step('what was gathered offline is sent in bulk, and each transaction has its outcome', async () => {
  const url = await database('bulk', [{ _id: 'c', n: 0 }, { _id: 'stock', boxes: 50 }]);
  const { outbox, asked } = await gathering(url);
  const added = await Promise.all(Array.from({ length: 1200 }, () => outbox.add(inc('c'))));
  const sale = await outbox.add({ require: [{ id: 'stock', exists: true }], writes: [{ id: 'stock', ops: [{ take: { field: 'boxes', want: 60, least: 40 } }] }] });
  const late = await outbox.add({ writes: [{ id: 'stock', ops: [{ take: { field: 'boxes', want: 20 } }] }] });
  await outbox.resume(); await outbox.sync();
  assert.ok((await all(added)).every((it) => it.accepted));
  assert.deepEqual((await sale.outcome).taken, { stock: { boxes: 50 } });
  const { accepted, reason, detail } = await late.outcome;
  assert.deepEqual([accepted, reason, detail.available], [false, 'operation', 0]);
  assert.equal((await must(`${url}/c`)).n, 1200);
  assert.deepEqual(asked, [500, 500, 202]);
  await outbox.close();
});
await step('an exchange that is too large is sent in parts', async () => {
  const url = await database('large', [{ _id: 'c', n: 0 }]);
  const { outbox, asked } = await gathering(url, { batchCountMax: 20_000, batchBytesMax: 1 << 25 });
  const added = await Promise.all(Array.from({ length: 10_100 }, () => outbox.add({ writes: [] })));
  await outbox.resume(); await outbox.sync();
  assert.ok((await all(added)).every((it) => it.accepted));
  assert.deepEqual(asked, [10_100, 5_050, 5_050]);
  await outbox.close();
});
await step('one that cannot be understood, or whose id was used, takes no other with it', async () => {
  const url = await database('wrong', [{ _id: 'c', n: 0 }]);
  const { outbox } = await gathering(url, { client: 'till-7' });
  const good = [await outbox.add(inc('c'))];
  const misspelt = await outbox.add({ writes: [{ id: 'c', putt: {} }] });
  const stub = await outbox.add({ writes: [{ id: 'd', put: { _attachments: { a: { follows: true, length: 1 } } } }] });
  const used = await outbox.add(inc('c'));
  await must(`${url}/_transact`, 'POST', { client: 'till-7', transactions: [{ id: used.id, writes: [] }] });
  good.push(await outbox.add(inc('c')));
  await outbox.resume(); await outbox.sync();
  const errors = (await all([misspelt, stub, used])).map(({ accepted, error }) => [accepted, error.status, error.error]);
  assert.deepEqual(errors, [[false, 400, 'bad_request'], [false, 400, 'bad_request'], [false, 422, 'id_reused']]);
  assert.ok((await all(good)).every((it) => it.accepted));
  assert.equal((await must(`${url}/c`)).n, 2);
  await outbox.close();
});
await step('a refusal means what the mode says', async () => {
  const url = await database('modes');
  const gone = { writes: [{ id: 'gone', delete: true }] }, put = (id) => ({ writes: [{ id, put: {} }] });
  {
    const { outbox } = await gathering(url, { mode: 'stop' });
    const added = [await outbox.add(put('a')), await outbox.add(gone), await outbox.add(put('b'))];
    await outbox.resume();
    await assert.rejects(outbox.sync(), { error: 'stopped' });
    assert.deepEqual(await outbox.pending(), [added[2].id]);
    await outbox.resume(); await outbox.sync();
    assert.deepEqual((await all(added)).map(({ accepted }) => accepted), [true, false, true]);
    await outbox.close();
  }
  const { outbox } = await gathering(url);
  const group = await outbox.add([put('c'), gone]), alone = await outbox.add(put('d'));
  await outbox.resume(); await outbox.sync();
  assert.deepEqual((await all(group)).map(({ reason, retry }) => [reason, retry]), [['aborted', true], ['missing', undefined]]);
  assert.equal((await alone.outcome).accepted, true);
  await outbox.retry(group[0].id);
  assert.equal((await outbox.outcome(group[0].id)).accepted, true);
  assert.deepEqual((await must(`${url}/_all_docs`)).rows.map(({ id }) => id), ['a', 'b', 'c', 'd']);
  await outbox.close();
});
await step('what a validator could not decide is decided when it can', async () => {
  const url = await database('undecided', [{ _id: '_design/v', validate_doc_update: 'function (d) { if (d.type === "x") null.y; }' }]);
  const { outbox } = await gathering(url);
  const told = new Promise((heard) => outbox.on('undecided', heard));
  const { id, outcome } = await outbox.add({ writes: [{ id: 'x', put: { type: 'x' } }] });
  await outbox.resume();
  assert.deepEqual([(await told).id, (await told).reason], [id, 'undecided']);
  const design = await must(`${url}/_design/v`);
  await must(`${url}/_design/v`, 'PUT', { ...design, validate_doc_update: 'function () {}' });
  assert.equal((await outcome).accepted, true);
  await outbox.close();
});
await step('a full account takes what deletes, and the rest once there is room', async () => {
  const name = `${tag}-ada`, url = `${base}/~${name}/notes`;
  const room = (bytes) => must(`${base}/_accounts/${name}`, 'PUT', { databases_max: null, bytes_max: bytes });
  const put = (id) => ({ writes: [{ id, put: {} }] }), gone = (id) => ({ writes: [{ id, delete: true }] });
  await must(`${base}/_users/org.couchdb.user:${name}`, 'PUT', { type: 'user', name, roles: [], password: 'one long secret' });
  await must(url, 'PUT');
  await must(`${url}/_bulk_docs`, 'POST', { docs: ['a', 'b', 'c', 'd'].map((_id) => ({ _id })) });
  for (const mode of ['go_on', 'stop']) {
    await room(10);
    const { outbox } = await gathering(url, { mode, backoffFirstMs: 30_000, backoffMaxMs: 60_000 });
    const told = new Promise((heard) => outbox.on('undecided', heard));
    const [first, full, last] = mode === 'stop' ? [gone('a'), put('e'), gone('b')] : [gone('c'), put('f'), gone('d')];
    const added = [await outbox.add(first), await outbox.add(full), await outbox.add(last)];
    await outbox.resume();
    const { id, detail } = await told;
    assert.deepEqual([id, detail.error], [added[1].id, 'insufficient_storage']);
    const held = mode === 'stop' ? added.slice(1) : [added[1]];
    await all(added.filter((it) => !held.includes(it)));
    assert.deepEqual([await outbox.pending(), outbox.status.state], [held.map((it) => it.id), 'waiting']);
    await room(null);
    await outbox.sync();
    assert.ok((await all(added)).every((it) => it.accepted));
    await outbox.close();
  }
  assert.deepEqual((await must(`${url}/_all_docs`)).rows.map(({ id }) => id), ['e', 'f']);
});
await step('a wrong password is told, and what waited is sent with the right one', async () => {
  const url = await database('password', [{ _id: 'c', n: 0 }]);
  const wrong = new URL(url);
  wrong.password = 'wrong';
  let headers = {};
  const { outbox } = await gathering(wrong.href, { headers: () => headers });
  const { outcome } = await outbox.add(inc('c'));
  await outbox.resume();
  await assert.rejects(outbox.sync(), { status: 401, error: 'unauthorized' });
  const { username, password } = new URL(url);
  headers = { authorization: `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}` };
  await outbox.resume();
  assert.equal((await outcome).accepted, true);
  await outbox.close();
});
await step('on a network that is cut all the time each is made once', async () => {
  const url = await database('slow', [{ _id: 'c', n: 0 }, { _id: 'list', all: [] }]);
  const proxy = await slowProxy(program, url, ['--latency', '10ms', '--jitter', '10ms', '--rate', '1Mbit', '--reset', '300ms', '--cut-every', '400ms', '--stall', '100ms/1s', '--seed', '5']);
  const through = new URL(proxy.url).host, address = new URL(url);
  address.host = through;
  const store = await FileStore.open(join(folder, 'slow.jsonl'));
  const { outbox } = await gathering(address.href, { store, timeoutMs: 2000, batchCountMax: 20 });
  const heard = [];
  outbox.on('outcome', ({ id }) => void heard.push(id));
  const added = await Promise.all(Array.from({ length: 300 }, (_, n) => outbox.add({ writes: [...inc('c').writes, { id: 'list', ops: [{ append: { field: 'all', value: n } }] }] })));
  await outbox.resume(); await outbox.sync();
  await outbox.close();
  assert.ok((await all(added)).every((it) => it.accepted));
  assert.equal((await must(`${url}/c`)).n, 300);
  assert.deepEqual((await must(`${url}/list`)).all, added.map((_, n) => n));
  assert.equal(new Set(heard).size, heard.length);
  const report = await proxy.stop();
  assert.match(report, /cuts: [1-9]/);
});
const remote = await database('merge');
const pouch = new PouchDB(`${tag}-pouch`, { adapter: 'memory' });
const { outbox: merging } = await gathering(remote, { pouch, changesLimit: 40 });
await step('a PouchDB is given what others changed, all of it, and what was made of our own', async () => {
  await must(`${remote}/_bulk_docs`, 'POST', { docs: Array.from({ length: 150 }, (_, n) => ({ _id: `doc-${n}`, n })) });
  await must(`${remote}/letter`, 'PUT', { _attachments: { 'a.txt': { content_type: 'text/plain', data: Buffer.from('hello '.repeat(50)).toString('base64') } } });
  const { rev } = await must(`${remote}/doc-1`, 'PUT', { n: 'new', _rev: (await must(`${remote}/doc-1`))._rev });
  await must(`${remote}/doc-1?rev=${rev}`, 'DELETE');
  const parent = (await must(`${remote}/doc-2`))._rev.slice(2);
  await must(`${remote}/_bulk_docs`, 'POST', { new_edits: false, docs: ['1', '2'].map((it) => branch('doc-2', 2, [it.repeat(32), parent], { side: it })) });
  await merging.add({ writes: [{ id: 'mine', put: { n: 1 } }, { id: 'doc-3', ops: [{ inc: { field: 'n', by: 4 } }] }, { id: 'doc-4', delete: true }] });
  await merging.resume(); await merging.sync();
  assertSame(await contents(remote), await contents(pouch), ['the server', 'the PouchDB']);
  assert.equal((await pouch.get('mine')).n, 1);
});
await step('only what is new is fetched the next time', async () => {
  await must(`${remote}/doc-5`, 'PUT', { n: 'edited', _rev: (await must(`${remote}/doc-5`))._rev });
  const merged = new Promise((heard) => merging.on('merged', heard));
  await merging.sync();
  assert.deepEqual(await merged, ['doc-5']);
  assertSame(await contents(remote), await contents(pouch), ['the server', 'the PouchDB']);
});
await step('replication by PouchDB itself finds nothing to do, and goes on from there', async () => {
  const pulled = await pouch.replicate.from(remote), pushed = await pouch.replicate.to(remote);
  assert.deepEqual([pulled.ok, pulled.docs_written, pushed.ok, pushed.docs_written], [true, 0, true, 0]);
  await pouch.put({ ...(await pouch.get('doc-3')), n: 'by PouchDB' });
  assert.equal((await pouch.replicate.to(remote)).docs_written, 1);
  await merging.sync();
  assertSame(await contents(remote), await contents(pouch), ['the server', 'the PouchDB']);
});
await step('what was to be merged when the program ended is merged by the next one', async () => {
  const store = new MemoryStore();
  const broken = (address, request) => (address.includes('_bulk_get') ? Promise.reject(new TypeError('cut')) : fetch(address, request));
  const copy = new PouchDB(`${tag}-copy`, { adapter: 'memory' });
  const first = await Outbox.open(remote, { store, pouch: copy, fetch: broken, backoffFirstMs: 5 });
  await new Promise((heard) => first.on('waiting', heard));
  await first.close();
  const second = await Outbox.open(remote, { store, pouch: copy });
  await second.sync(); await second.close();
  assertSame(await contents(remote), await contents(copy), ['the server', 'the copy']);
});
await merging.close();
await rm(folder, { recursive: true, force: true });
done();
