import assert from 'node:assert/strict';
import { test } from 'node:test';
import { lost, outbox, write, yes } from './fake.js';

/** What is asked of a PouchDB, with nothing in it but these revisions. */
function pouch(there = {}) {
  const bulks = [];
  return {
    bulks,
    revsDiff: async (asked) => Object.fromEntries(Object.entries(asked)
      .map(([id, revs]) => [id, { missing: revs.filter((rev) => !there[id]?.includes(rev)) }]).filter(([, { missing }]) => missing.length > 0)),
    bulkDocs: async (docs, options) => {
      bulks.push([docs, options]);
      return [];
    },
  };
}

/** A server with these leaves by id, which fails as it is told. */
function server(leaves, fails = () => undefined) {
  const asked = [];
  const fetch = async (url, { body }) => {
    const json = JSON.parse(body), { pathname, search } = new URL(url);
    if (pathname.endsWith('/_transact')) {
      const [, reply] = yes(json);
      const results = json.since === '0' ? Object.keys(leaves).map((id) => ({ id, changes: [] })) : [];
      reply.transactions.forEach((it) => (it.revs = { own: '1-o' }));
      return Response.json({ ...reply, changes: { results, last_seq: '9-t', pending: 0 } });
    }
    asked.push([search, json.docs]);
    const failure = fails(json.docs);
    if (failure instanceof Error) throw failure;
    if (failure) return Response.json({ error: 'x', reason: 'y' }, { status: failure });
    const form = ({ _attachments, ...rest }) => ({ ...rest, ...(_attachments && { _attachments: { a: search.includes('attachments') ? { data: 'eA==' } : { stub: true } } }) });
    const of = ({ id, rev }) => (leaves[id] ?? []).filter((leaf) => !rev || leaf._rev === rev).map((leaf) => ({ ok: form(leaf) }));
    return Response.json({ results: json.docs.map((item) => ({ id: item.id, docs: of(item) })) });
  };
  return { fetch, asked };
}

const leaf = (_id, _rev, more = {}) => ({ _id, _rev, ...more });

test('every leaf that is missing comes, attachments with those that have some', async () => {
  const leaves = { a: [leaf('a', '1-a'), leaf('a', '1-b')], b: [leaf('b', '2-b', { _attachments: true })], c: [leaf('c', '1-c')], own: [leaf('own', '1-o')], gone: [] };
  const { fetch, asked } = server(leaves);
  const local = pouch({ a: ['1-a'], c: ['1-c'] });
  const box = await outbox({ fetch }, { pouch: local, paused: true });
  await box.add(write(1));
  await box.resume();
  await box.sync();
  assert.deepEqual(asked, [['?revs=true', ['a', 'b', 'c', 'gone', 'own'].map((id) => ({ id }))], ['?revs=true&attachments=true', [{ id: 'b', rev: '2-b' }]]]);
  assert.deepEqual(local.bulks, [[[leaf('a', '1-b'), leaf('own', '1-o'), leaf('b', '2-b', { _attachments: { a: { data: 'eA==' } } })], { new_edits: false }]]);
  await box.close();
});

test('less is fetched at once on a network that is cut', async () => {
  const leaves = Object.fromEntries(Array.from({ length: 150 }, (_, n) => [`d${n}`, [leaf(`d${n}`, '1-a')]]));
  const { fetch, asked } = server(leaves, (docs) => (docs.length > 30 ? lost() : undefined));
  const local = pouch();
  const box = await outbox({ fetch }, { pouch: local });
  await box.sync();
  assert.equal(local.bulks.flatMap(([docs]) => docs).length, 150);
  assert.deepEqual(asked.slice(0, 3).map(([, docs]) => docs.length), [100, 50, 25]);
  await box.close();
});

test('whoever may not read is told, and transactions were sent before', async () => {
  const { fetch } = server({ a: [leaf('a', '1-a')] }, () => 403);
  const box = await outbox({ fetch }, { pouch: pouch(), paused: true });
  const { outcome } = await box.add(write(1));
  await box.resume();
  await assert.rejects(box.sync(), { status: 403, error: 'x', reason: 'y' });
  assert.equal((await outcome).accepted, true);
  assert.equal(box.status.state, 'paused');
  await box.close();
});

test('what a PouchDB does not take is told, and held up nothing', async () => {
  const { fetch } = server({ a: [leaf('a', '1-a')] });
  const local = { ...pouch(), bulkDocs: async () => [{ error: true, id: 'a', name: 'forbidden', message: 'no' }] };
  const box = await outbox({ fetch }, { pouch: local, paused: true });
  const problem = new Promise((heard) => box.on('problem', heard));
  await box.resume();
  await box.sync();
  assert.equal((await problem).message, 'forbidden: a: no');
  await box.close();
});
