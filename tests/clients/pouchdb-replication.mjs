// PouchDB replicates with a server, in each direction, one-shot and live, with every kind of filter:
//   node pouchdb-replication.mjs BASE_URL
import PouchDB from 'pouchdb';
import memory from 'pouchdb-adapter-memory';
import { script, assert, until } from './steps.mjs';
import { FILTERS, assertSame, ask, attached, branch, compressed, contents, fill, must, passing } from './replicas.mjs';
PouchDB.plugin(memory);
const { base, tag, step, done } = script('pouchdb-replication');
let made = 0;
const local = () => new PouchDB(`${tag}_local_${(made += 1)}`, { adapter: 'memory' });
const remote = () => new PouchDB(`${base}/${tag}_${(made += 1)}`);
const get = (db, id) => db.get(id).catch((e) => (e.status === 404 ? null : Promise.reject(e)));
/** Of the database as it is stored: what is behind a URL is read past PouchDB. */
const stored = (db) => contents(db.adapter === 'http' ? `${base}/${db.name.slice(db.name.lastIndexOf('/') + 1)}` : db);
const same = async (one, two) => assertSame(await stored(one), await stored(two), [one.name.replace(/^.*\//, ''), two.name.replace(/^.*\//, '')]);
const written = async (one, two, options) => (await PouchDB.replicate(one, two, options)).docs_written;

for (const [way, from, to] of [['push', local, remote], ['pull', remote, local], ['between URLs', remote, remote]]) {
  const source = from(), target = to();
  await step(`${way}: every leaf, tombstone and attachment arrives`, async () => {
    // PouchDB makes a database when it is first used.
    await source.info(); await target.info();
    await fill(from === remote ? `${base}/${source.name.slice(source.name.lastIndexOf('/') + 1)}` : source);
    assert.ok(await written(source, target) >= 126); await same(source, target);
  });
  await step(`${way}: an attachment that the server keeps compressed arrives`, async () => {
    await source.put(compressed('text')); assert.equal(await written(source, target), 1); await same(source, target);
  });
  await step(`${way}: a second time there is nothing to do`, async () => { assert.equal(await written(source, target), 0); });
  await step(`${way}: then only what has changed`, async () => {
    const before = await source.get('attached'), { note } = attached(2)._attachments;
    await source.bulkDocs([
      { ...(await source.get('plain-1')), changed: true }, { ...(await source.get('plain-2')), _deleted: true },
      { ...before, _attachments: { ...before._attachments, note } }, { _id: 'added' },
    ]);
    assert.equal(await written(source, target), 4); await same(source, target);
  });
  await step(`${way}: a conflict that both sides made is the same on both`, async () => {
    for (const [db, digit] of [[source, '1'], [target, '2']]) {
      const parent = (await db.get('plain-5'))._rev.slice(2);
      await db.bulkDocs([branch('plain-5', 2, [digit.repeat(32), parent], { side: db === source ? 'source' : 'target' })], { new_edits: false });
    }
    await PouchDB.replicate(source, target); await PouchDB.replicate(target, source); await same(source, target);
    assert.equal((await source.get('plain-5')).side, 'target');
  });
  await step(`${way}: live, until it is cancelled`, async () => {
    const live = PouchDB.replicate(source, target, { live: true, retry: true });
    const ended = new Promise((ok) => live.on('complete', ok));
    for (const n of [1, 2]) {
      await source.put(n === 2 ? { ...attached(n), _id: 'live-2' } : { _id: 'live-1' });
      await until(`live-${n} arrives`, () => get(target, `live-${n}`));
    }
    await source.remove(await source.get('live-1'));
    await until('the deletion arrives', async () => !(await get(target, 'live-1')));
    live.cancel(); await ended; await same(source, target);
  });
  for (const [title, filter] of Object.entries(FILTERS).filter(([, it]) => !it.notInPouchDB)) {
    await step(`${way}: only what passes ${title}`, async () => {
      const some = to(); await some.info();
      const { query_params, ...options } = filter.job;
      const { view, ...rest } = query_params ?? {};
      await PouchDB.replicate(source, some, { ...options, ...(view && { view }), query_params: rest });
      const all = await stored(source), chosen = await stored(some), ids = passing(all, filter);
      assert.deepEqual(Object.keys(chosen).sort(), ids);
      assertSame(Object.fromEntries(ids.map((id) => [id, all[id]])), chosen);
    });
  }
  await step(`${way}: after a checkpoint was lost, nothing is written twice`, async () => {
    for (const db of [source, target].filter((it) => it.adapter === 'http')) {
      const url = `${base}/${db.name.slice(db.name.lastIndexOf('/') + 1)}`;
      for (const { id, value } of (await must(`${url}/_local_docs`)).rows) await ask(`${url}/_local/${encodeURIComponent(id.slice(7))}?rev=${value.rev}`, 'DELETE');
    }
    assert.equal(await written(source, target), 0);
  });
}
done();
