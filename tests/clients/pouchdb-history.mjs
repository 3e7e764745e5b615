// A database that goes back while devices sync with it, some of them away: all come to the same, and the way back is there.
// node pouchdb-history.mjs BASE_URL, whose credentials are those of an administrator
import PouchDB from 'pouchdb';
import memory from 'pouchdb-adapter-memory';
import { isDeepStrictEqual } from 'node:util';
import { script, assert, until } from './steps.mjs';
PouchDB.plugin(memory);
const { base, tag, step, done } = script('pouchdb-history');
const site = new URL(base);
const [user, password] = [site.username, site.password].map(decodeURIComponent);
const authorization = 'Basic ' + Buffer.from(`${user}:${password}`).toString('base64');
const url = `${site.origin}/${tag}`;
const ask = async (method, path, body) => {
  const headers = { authorization, 'content-type': 'application/json' };
  const reply = await fetch(url + path, { method, headers, body: body === undefined ? undefined : JSON.stringify(body) });
  const json = await reply.json();
  assert.ok(reply.ok, `${method} ${path}: ${reply.status} ${JSON.stringify(json)}`);
  return json;
};
const remote = () => new PouchDB(url, { auth: { username: user, password }, skip_setup: true });
const [live, away] = ['live', 'away'].map((name) => new PouchDB(`${tag}_${name}`, { adapter: 'memory' }));
const errors = [];
let sync;

/** What a database shows: bodies without revisions. */
const shown = async (db) => {
  const { rows } = await db.allDocs({ include_docs: true, attachments: true });
  return rows.map(({ doc: { _rev, ...rest } }) => {
    // The server packs text, which its digest shows.
    for (const [name, { data }] of Object.entries(rest._attachments ?? {})) rest._attachments[name] = { data };
    return rest;
  });
};
const edit = async (db, id, change) => db.put({ ...(await db.get(id)), ...change });
const same = isDeepStrictEqual;

await step('two devices have what is there', async () => {
  await ask('PUT', '');
  await ask('PUT', '/_history', { append_only: { kind: 'audit' } });
  const text = { content_type: 'text/plain', data: Buffer.from('first').toString('base64') };
  await live.bulkDocs([
    { _id: 'edited', n: 1, _attachments: { 'x.txt': text } }, { _id: 'deleted', n: 1 }, { _id: 'kept', n: 1 },
  ]);
  sync = live.sync(remote(), { live: true, retry: true, back_off_function: () => 250 }).on('error', (e) => errors.push(e.message));
  await until('the server has it', async () => (await ask('GET', '')).doc_count === 3);
  await away.replicate.from(remote());
  await ask('PUT', '/_snapshots/monday');
});
const monday = await shown(remote());
let tuesday;
await step('one of them changes things, and the other is away', async () => {
  const { _attachments, ...edited } = await live.get('edited');
  await live.put({ ...edited, n: 2 });
  await live.remove(await live.get('deleted'));
  await live.bulkDocs([{ _id: 'new', n: 1 }, { _id: 'log', kind: 'audit' }]);
  await edit(away, 'kept', { seen: 'away' });
  await until('the server has it', async () => (await ask('GET', '/_all_docs')).rows.some(({ id }) => id === 'log'));
  await until('and all of it', async () => same(await shown(remote()), await shown(live)));
  tuesday = await shown(remote());
});
await step('the past is read while all goes on', async () => {
  const then = await ask('GET', '/_all_docs?at=monday&include_docs=true');
  assert.deepEqual(then.rows.map(({ id, doc }) => [id, doc.n]), [['deleted', 1], ['edited', 1], ['kept', 1]]);
});
await step('a revert reaches the device that is live', async () => {
  const done = await ask('POST', '/_revert', { to: 'monday', snapshot: 'tuesday' });
  assert.deepEqual([done.reverted, done.left_out], [3, ['log']]);
  await until('it has come', async () => same(await shown(live), await shown(remote())));
  assert.deepEqual((await shown(live)).filter(({ _id }) => _id !== 'log'), monday);
  assert.equal((await live.getAttachment('edited', 'x.txt')).toString(), 'first');
});
await step('the device that was away comes to the same, and what it did meanwhile is not lost', async () => {
  await away.sync(remote());
  await until('the live one has it', async () => (await live.get('kept')).seen === 'away');
  await until('all are the same', async () => same(await shown(away), await shown(live)));
  assert.deepEqual(await shown(away), await shown(remote()));
  assert.ok((await shown(away)).some(({ _id }) => _id === 'log'), 'the audit document survives');
});
await step('the revert of the revert brings the old present back', async () => {
  await ask('POST', '/_revert', { to: 'tuesday', snapshot: 'wednesday' });
  await until('the live device has it', async () => same(await shown(live), tuesday));
  await away.sync(remote());
  assert.deepEqual(await shown(away), tuesday);
  assert.deepEqual(await shown(remote()), tuesday);
});
sync.cancel();
await step('nothing went wrong on the way', async () => assert.deepEqual(errors, []));
done();
