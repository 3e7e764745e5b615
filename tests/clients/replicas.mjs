// What replicas are compared by: a database behind a URL and a PouchDB alike.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';

/** A request with the credentials of its URL. Gives the status and what JSON came. */
export async function ask(url, method = 'GET', body = undefined) {
  const bare = new URL(url);
  const [name, password] = [bare.username, bare.password].map(decodeURIComponent);
  bare.username = bare.password = '';
  const headers = { accept: 'application/json', 'content-type': 'application/json' };
  if (name) headers.authorization = basic(name, password);
  const reply = await fetch(bare, { method, headers, body: body === undefined ? undefined : JSON.stringify(body) });
  const text = await reply.text();
  return { status: reply.status, json: text ? JSON.parse(text) : null };
}

/** The same, where any other status than a good one is a failure. */
export async function must(url, method, body) {
  const { status, json } = await ask(url, method, body);
  if (status >= 300) throw new Error(`${method ?? 'GET'} ${new URL(url).pathname}: ${status} ${JSON.stringify(json)}`);
  return json;
}

export function basic(name, password) {
  return 'Basic ' + Buffer.from(`${name}:${password}`).toString('base64');
}

/**
 * All that replicas have to agree on: of each document its leaves, with their bodies and the bytes of their
 * attachments, and the winner. `database` is a URL or a PouchDB.
 */
export async function contents(database) {
  const reader = typeof database === 'string' ? overHttp(database) : ofPouchDB(database);
  const rows = await reader.changes();
  const documents = {};
  // Few at a time: thousands of requests at once help nobody.
  for (let start = 0; start < rows.length; start += 8) {
    await Promise.all(rows.slice(start, start + 8).map(async ({ id, changes }) => {
      const leaves = {};
      for (const leaf of await reader.leaves(id)) leaves[leaf._rev] = canonical(leaf);
      const listed = changes.map((change) => change.rev);
      assert.deepEqual(Object.keys(leaves).sort(), [...listed].sort(), `_changes and open_revs agree on ${id}`);
      documents[id] = { winner: await reader.winner(id), leaves };
    }));
  }
  return documents;
}

/** Throws with the first documents that differ. */
export function assertSame(left, right, names = ['the one', 'the other']) {
  const ids = [...new Set([...Object.keys(left), ...Object.keys(right)])].sort();
  const differing = ids.filter((id) => JSON.stringify(sorted(left[id])) !== JSON.stringify(sorted(right[id])));
  if (differing.length === 0) return;
  const leaves = (all, id) => JSON.stringify(sorted(all[id]?.leaves));
  const where = differing.every((id) => leaves(left, id) === leaves(right, id)) ? ' in their winners alone' : '';
  const shown = (all, id) => JSON.stringify(sorted(all[id]) ?? 'not there').slice(0, 600);
  const lines = differing.slice(0, 3).map((id) => `${id}: ${names[0]} has ${shown(left, id)}, ${names[1]} has ${shown(right, id)}`);
  throw new Error(`${differing.length} of ${ids.length} documents differ${where}: ${lines.join('; ')}`);
}

function overHttp(url) {
  const document = (id) => `${url}/${id.split('/').map(encodeURIComponent).join(id.startsWith('_design/') ? '/' : '%2F')}`;
  return {
    changes: async () => (await must(`${url}/_changes?style=all_docs`)).results,
    leaves: async (id) => (await must(`${document(id)}?open_revs=all&attachments=true`)).map((it) => it.ok),
    winner: async (id) => {
      const { status, json } = await ask(document(id));
      return status === 404 ? 'deleted' : json._rev;
    },
  };
}

function ofPouchDB(database) {
  return {
    changes: async () => (await database.changes({ style: 'all_docs', since: 0 })).results,
    leaves: async (id) => {
      const leaves = await database.get(id, { open_revs: 'all' });
      // PouchDB fetches attachments with open_revs for live leaves alone.
      return Promise.all(leaves.map(({ ok }) => database.get(id, { rev: ok._rev, attachments: true })));
    },
    winner: async (id) => {
      try {
        return (await database.get(id))._rev;
      } catch (error) {
        if (error.status === 404) return 'deleted';
        throw error;
      }
    },
  };
}

/** A leaf without what replicas may differ in: how attachments are stored, and the order of members. */
function canonical({ _attachments, _revisions, ...document }) {
  const attachments = Object.entries(_attachments ?? {}).map(([name, { content_type, data }]) => {
    const bytes = Buffer.from(data, 'base64');
    return [name, { content_type, length: bytes.length, sha256: createHash('sha256').update(bytes).digest('hex') }];
  });
  return sorted({ ...document, ...(attachments.length > 0 && { _attachments: Object.fromEntries(attachments) }) });
}

function sorted(value) {
  if (Array.isArray(value)) return value.map(sorted);
  if (value === null || typeof value !== 'object') return value;
  return Object.fromEntries(Object.keys(value).sort().map((key) => [key, sorted(value[key])]));
}

/** Documents of every kind: plain, in conflict, deleted, with attachments, with filters, with odd ids. */
export async function fill(database) {
  const put = typeof database === 'string'
    ? (docs, options = {}) => must(`${database}/_bulk_docs`, 'POST', { docs, ...options })
    : (docs, options = {}) => database.bulkDocs(docs, options);
  const written = await put([
    ...Array.from({ length: 120 }, (_, n) => ({ _id: `plain-${n}`, n, kind: n % 2 ? 'odd' : 'even', text: 'x'.repeat(n) })),
    { _id: 'ünï ☃/a b+c', kind: 'even', odd: true },
    { _id: 'gone', kind: 'odd' },
    attached(1),
    design(),
  ]);
  const failed = written.filter((it) => it.error);
  assert.deepEqual(failed, []);
  const gone = written.find((it) => it.id === 'gone');
  await put([{ _id: 'gone', _rev: gone.rev, _deleted: true, kind: 'odd', why: 'tombstones keep their body' }]);
  await put([
    branch('fight', 2, ['b'.repeat(32), 'a'.repeat(32)], { kind: 'odd', side: 'b' }),
    branch('fight', 2, ['c'.repeat(32), 'a'.repeat(32)], { kind: 'odd', side: 'c' }),
    branch('fight', 3, ['e'.repeat(32), 'd'.repeat(32), 'a'.repeat(32)], { _deleted: true, kind: 'odd' }),
    branch('ghost', 2, ['f'.repeat(32), 'a'.repeat(32)], { _deleted: true, kind: 'odd' }),
  ], { new_edits: false });
}

/** A document with attachments; another number gives other bytes. */
export function attached(number) {
  return {
    _id: 'attached',
    kind: 'even',
    _attachments: {
      'note': { content_type: 'application/x-note', data: Buffer.from(`note ${number}: héllo `.repeat(20)).toString('base64') },
      'small.bin': { content_type: 'application/octet-stream', data: bytes(number, 1_000).toString('base64') },
      'large ü.bin': { content_type: 'application/octet-stream', data: bytes(number + 1, 300_000).toString('base64') },
    },
  };
}

/** A document with an attachment of a kind that CouchDB and Settle keep, and send on, compressed. */
export function compressed(id) {
  const text = { content_type: 'text/plain', data: Buffer.from('héllo '.repeat(2_000)).toString('base64') };
  // Small documents may travel with their attachments inside.
  const large = { content_type: 'image/png', data: bytes(5, 300_000).toString('base64') };
  return { _id: id, _attachments: { 'text ☃.txt': text, 'large.png': large } };
}

/** Bytes that follow from a seed and do not compress. */
export function bytes(seed, length) {
  const blocks = [];
  for (let n = 0; n * 32 < length; n += 1) blocks.push(createHash('sha256').update(`${seed}/${n}`).digest());
  return Buffer.concat(blocks).subarray(0, length);
}

/** A leaf as replicators write it. */
export function branch(id, start, ids, body) {
  return { _id: id, _rev: `${start}-${ids[0]}`, _revisions: { start, ids }, ...body };
}

function design() {
  return {
    _id: '_design/choice',
    filters: { kind: 'function (doc, req) { return doc.kind === req.query.kind; }' },
    views: { odd: { map: 'function (doc) { if (doc.kind === "odd") emit(doc._id); }' } },
  };
}

/** Of each filter, as `_replicate` takes it, the documents of `fill` that it lets pass. */
export const FILTERS = {
  doc_ids: { job: { doc_ids: ['plain-3', 'ünï ☃/a b+c', 'attached', 'missing'] }, passes: ({ id }) => ['plain-3', 'ünï ☃/a b+c', 'attached'].includes(id) },
  selector: { job: { selector: { kind: 'odd' } }, passes: ({ body }) => body.kind === 'odd' },
  'a function with parameters': { job: { filter: 'choice/kind', query_params: { kind: 'even' } }, passes: ({ body }) => body.kind === 'even' },
  'a view': { job: { filter: '_view', query_params: { view: 'choice/odd' } }, passes: ({ body }) => body.kind === 'odd' },
  // PouchDB takes the name for that of a function, `_design/_design`.
  'design documents': { notInPouchDB: true, job: { filter: '_design' }, passes: ({ id }) => id.startsWith('_design/') },
};

/** The ids of all documents whose winner, or newest tombstone, a filter lets pass. */
export function passing(all, { passes }) {
  const winner = ({ winner, leaves }) => leaves[winner] ?? Object.values(leaves)[0];
  return Object.keys(all).filter((id) => passes({ id, body: winner(all[id]) })).sort();
}
