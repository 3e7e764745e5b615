// Replications that the server itself runs, in both directions, one-shot and continuous:
//   node replication.mjs BASE [--peer URL]
// Between BASE and the server at URL, which may be any that speaks CouchDB's protocol; without a URL,
// between two databases of BASE, which it names and does not reach over HTTP.
import { script, assert, until } from './steps.mjs';
import { FILTERS, ask, assertSame, attached, basic, branch, compressed, contents, fill, must, passing } from './replicas.mjs';
const { base, tag, step, done } = script('replication');
const flag = process.argv.indexOf('--peer');
const peer = flag < 0 ? null : process.argv[flag + 1].replace(/\/$/, '');
let made = 0;
/** A new database: its URL, and how jobs of BASE name it. */
async function make(site, { create = true } = {}) {
  const name = `${tag}_${(made += 1)}`;
  const url = `${site ?? base}/${name}`;
  if (create) await must(url, 'PUT');
  return { url, name: site ? url : name };
}
const replicate = (source, target, options = {}) => ask(`${base}/_replicate`, 'POST', { source: source.name, target: target.name, ...options });
async function run(source, target, options) {
  const { status, json } = await replicate(source, target, options);
  assert.equal(status, 200, JSON.stringify(json));
  assert.equal(json.ok, true, JSON.stringify(json));
  return json;
}
const same = async (source, target) => assertSame(await contents(source.url), await contents(target.url), ['the source', 'the target']);
const get = async (database, id) => { const { status, json } = await ask(`${database.url}/${id}`); return status === 200 ? json : null; };
const jobs = async () => (await must(`${base}/_scheduler/jobs?limit=1000`)).jobs;
const row = async (id) => (await ask(`${base}/_scheduler/docs/_replicator/${id}`)).json;

const ways = peer ? { push: [null, peer], pull: [peer, null] } : { 'within one server': [null, null] };
for (const [way, [from, to]] of Object.entries(ways)) {
  const source = await make(from), target = await make(to);
  await step(`${way}: every leaf, tombstone and attachment arrives`, async () => {
    await fill(source.url);
    const result = await run(source, target);
    await same(source, target);
    const [{ docs_written, doc_write_failures }] = result.history;
    assert.ok(docs_written >= 126, `${docs_written} written`); assert.equal(doc_write_failures, 0);
  });
  await step(`${way}: an attachment that is kept compressed arrives`, async () => {
    const one = await make(from), two = await make(to);
    await must(`${one.url}/text`, 'PUT', compressed('text'));
    await run(one, two); await same(one, two);
  });
  await step(`${way}: a second time there is nothing to do`, async () => {
    assert.equal((await run(source, target)).no_changes, true);
  });
  await step(`${way}: then only what has changed`, async () => {
    const plain = await get(source, 'plain-1'), gone = await get(source, 'plain-2'), before = await get(source, 'attached');
    const { 'small.bin': kept, 'large ü.bin': large } = before._attachments, { note } = attached(2)._attachments;
    await must(`${source.url}/_bulk_docs`, 'POST', { docs: [
      { ...plain, changed: true }, { _id: 'plain-2', _rev: gone._rev, _deleted: true },
      { ...before, _attachments: { note, 'small.bin': kept, 'large ü.bin': large } },
      { _id: 'added' },
    ] });
    const { history: [{ docs_written }] } = await run(source, target);
    assert.equal(docs_written, 4); await same(source, target);
  });
  await step(`${way}: a conflict that both sides made is the same on both`, async () => {
    const left = branch('plain-5', 2, ['1'.repeat(32), (await get(source, 'plain-5'))._rev.slice(2)], { side: 'source' });
    const right = branch('plain-5', 2, ['2'.repeat(32), (await get(target, 'plain-5'))._rev.slice(2)], { side: 'target' });
    await must(`${source.url}/_bulk_docs`, 'POST', { docs: [left], new_edits: false });
    await must(`${target.url}/_bulk_docs`, 'POST', { docs: [right], new_edits: false });
    await run(source, target); await run(target, source); await same(source, target);
    assert.equal((await get(target, 'plain-5')).side, 'target');
  });
  await step(`${way}: continuous, until it is cancelled`, async () => {
    const { status, json } = await replicate(source, target, { continuous: true });
    assert.equal(status, 202, JSON.stringify(json)); assert.equal(typeof json._local_id, 'string');
    for (const n of [1, 2, 3]) {
      await must(`${source.url}/live-${n}`, 'PUT', n === 2 ? { ...attached(n), _id: `live-${n}` } : { n });
      await until(`the target has live-${n}`, () => get(target, `live-${n}`));
    }
    const live = await get(source, 'live-1');
    assert.equal((await ask(`${source.url}/live-1?rev=${live._rev}`, 'DELETE')).status, 200);
    await until('the deletion arrives', async () => !(await get(target, 'live-1')));
    await same(source, target);
    const job = (await jobs()).find((it) => it.id === json._local_id); assert.ok(job, 'the job is listed');
    const task = (await must(`${base}/_active_tasks`)).find((it) => it.type === 'replication' && it.replication_id === json._local_id); assert.ok(task, 'and a task');
    const cancelled = await replicate(source, target, { continuous: true, cancel: true });
    assert.equal(cancelled.status, 200, JSON.stringify(cancelled.json));
    await until('the job is gone', async () => !(await jobs()).some((it) => it.id === json._local_id));
    assert.equal((await replicate(source, target, { continuous: true, cancel: true })).status, 404);
  });
  for (const [title, filter] of Object.entries(FILTERS)) {
    await step(`${way}: only what passes ${title}`, async () => {
      const some = await make(to);
      await run(source, some, filter.job);
      const all = await contents(source.url), chosen = await contents(some.url);
      assert.deepEqual(Object.keys(chosen).sort(), passing(all, filter));
      assertSame(Object.fromEntries(passing(all, filter).map((id) => [id, all[id]])), chosen);
    });
  }
  await step(`${way}: a continuous job filters too`, async () => {
    const some = await make(to), options = { continuous: true, filter: 'choice/kind', query_params: { kind: 'late' } };
    assert.equal((await replicate(source, some, options)).status, 202);
    await must(`${source.url}/late-no`, 'PUT', { kind: 'odd' }); await must(`${source.url}/late-yes`, 'PUT', { kind: 'late' });
    await until('the one arrives', () => get(some, 'late-yes'));
    assert.equal(await get(some, 'late-no'), null);
    assert.equal((await replicate(source, some, { ...options, cancel: true })).status, 200);
  });
  await step(`${way}: create_target makes the target, and without it there is an error`, async () => {
    const missing = await make(to, { create: false });
    const refused = await replicate(source, missing); assert.ok(refused.status >= 400, JSON.stringify(refused)); assert.ok(refused.json.error);
    await run(source, missing, { create_target: true }); await same(source, missing);
  });
  await step(`${way}: a source that is not there is an error`, async () => {
    const { status, json } = await replicate(await make(from, { create: false }), target);
    assert.ok(status === 404 || status === 500, `${status}`); assert.equal(json.error, 'db_not_found');
  });
  await step(`${way}: since_seq leaves out what was before`, async () => {
    const some = await make(to), { update_seq } = await must(source.url);
    await must(`${source.url}/after`, 'PUT', {});
    await run(source, some, { since_seq: update_seq });
    assert.deepEqual(Object.keys(await contents(some.url)), ['after']);
  });
  await step(`${way}: winning_revs_only leaves losers behind`, async () => {
    const some = await make(to);
    await run(source, some, { winning_revs_only: true });
    const all = await contents(source.url), chosen = await contents(some.url);
    for (const [id, { winner, leaves }] of Object.entries(chosen)) {
      assert.equal(Object.keys(leaves).length, 1, id); assert.equal(winner, all[id].winner, id);
    }
    assert.deepEqual(Object.keys(chosen).sort(), Object.keys(all).sort());
  });
  await step(`${way}: use_checkpoints false leaves no trace`, async () => {
    const one = await make(from), two = await make(to);
    await must(`${one.url}/a`, 'PUT', {});
    await run(one, two, { use_checkpoints: false }); await same(one, two);
    for (const { url } of [one, two]) {
      const { status, json } = await ask(`${url}/_local_docs`);
      if (status === 200) assert.deepEqual(json.rows, []);
    }
  });
  const remote = from ? source : target;
  const { username, password } = new URL(remote.url);
  if (peer && username) {
    const url = remote.url.replace(/\/\/.*@/, '//');
    const as = (endpoint) => (from ? [endpoint, target.name] : [source.name, endpoint]);
    const send = (endpoint, rest = {}) => { const [s, t] = as(endpoint); return ask(`${base}/_replicate`, 'POST', { source: s, target: t, ...rest }); };
    const forms = {
      'auth.basic': { url, auth: { basic: { username: decodeURIComponent(username), password: decodeURIComponent(password) } } },
      'a header': { url, headers: { Authorization: basic(decodeURIComponent(username), decodeURIComponent(password)) } },
      'an object with the credentials in its URL': { url: remote.url },
    };
    for (const [title, endpoint] of Object.entries(forms)) {
      await step(`${way}: signs in with ${title}`, async () => {
        const { status, json } = await send(endpoint); assert.equal(status, 200, JSON.stringify(json)); await same(source, target);
      });
    }
    await step(`${way}: a wrong password is an error`, async () => {
      const { status, json } = await send({ url, auth: { basic: { username: decodeURIComponent(username), password: 'wrong' } } });
      assert.ok(status >= 400, `${status}`); assert.match(JSON.stringify(json), /unauthorized/i);
      assert.ok(!JSON.stringify(json).includes('wrong'), 'the password is not shown');
    });
    await step(`${way}: a document with a wrong password crashes, and is not given up`, async () => {
      const [s, t] = as({ url, auth: { basic: { username: decodeURIComponent(username), password: 'wrong' } } });
      const id = `${tag}-wrong-${way}`; await must(`${base}/_replicator/${id}`, 'PUT', { source: s, target: t, continuous: true });
      const { state } = await until('it does not run', async () => { const it = await row(id); return ['crashing', 'failed', 'error'].includes(it?.state) && it; });
      assert.equal(state, 'crashing');
      const { _rev } = await must(`${base}/_replicator/${id}`); assert.equal((await ask(`${base}/_replicator/${id}?rev=${_rev}`, 'DELETE')).status, 200);
    });
  }
  await step(`${way}: a document of _replicator runs to completed`, async () => {
    const some = await make(to), id = `${tag}-once-${from ? 'pull' : 'push'}`;
    await must(`${base}/_replicator/${id}`, 'PUT', { source: source.name, target: some.name });
    const done = await until('it has completed', async () => { const it = await row(id); return it?.state === 'completed' && it; });
    assert.equal(done.doc_id, id); assert.equal(done.database, '_replicator'); await same(source, some);
    const document = await must(`${base}/_replicator/${id}`); assert.equal(document._replication_state, 'completed');
    assert.ok(document._replication_stats.docs_written > 0);
  });
  await step(`${way}: a continuous document runs, and deleting it ends it`, async () => {
    const some = await make(to), id = `${tag}-live-${from ? 'pull' : 'push'}`;
    const { rev } = await must(`${base}/_replicator/${id}`, 'PUT', { source: source.name, target: some.name, continuous: true });
    await until('it runs', async () => (await row(id))?.state === 'running');
    const job = (await jobs()).find((it) => it.doc_id === id); assert.ok(job, 'its job is listed'); assert.equal(job.database, '_replicator');
    await must(`${source.url}/by-document-${id}`, 'PUT', {});
    await until('a write arrives', () => get(some, `by-document-${id}`)); await same(source, some);
    // A continuous document may have been written to with its state.
    const current = (await must(`${base}/_replicator/${id}`))._rev ?? rev;
    assert.equal((await ask(`${base}/_replicator/${id}?rev=${current}`, 'DELETE')).status, 200);
    await until('the job is gone', async () => !(await jobs()).some((it) => it.doc_id === id));
    assert.equal((await ask(`${base}/_scheduler/docs/_replicator/${id}`)).status, 404);
  });
}
await step('a document that is no replication is refused or fails', async () => {
  const id = `${tag}-invalid`, { status, json } = await ask(`${base}/_replicator/${id}`, 'PUT', { source: 'only-a-source' });
  if (status === 403 || status === 400) return assert.ok(json.reason);
  assert.equal(status, 201); await until('it fails', async () => (await row(id))?.state === 'failed');
});
done();
