// How long a first sync of a database into a new PouchDB in memory takes, for `cargo xtask bench sync`:
//   node first-sync.mjs URL [RECORD]
// Prints {"seconds", "documents"}. With RECORD, what was asked and answered goes to that file, an exchange a line.
import { writeFileSync } from 'node:fs';
import PouchDB from 'pouchdb';
import memory from 'pouchdb-adapter-memory';
PouchDB.plugin(memory);
const [url, record] = process.argv.slice(2);
const lines = [];
// PouchDB asks the same of every source that answers the same, but for the name of its checkpoint.
const recorded = async (asked, options) => {
  const response = await PouchDB.fetch(asked, options), body = await response.text();
  const { pathname, search } = new URL(asked), method = options?.method ?? 'GET', headers = [...response.headers];
  if (headers.some(([name]) => name === 'content-encoding')) throw new Error('a compressed reply is not recorded as it came');
  lines.push(JSON.stringify({ method, path: pathname + search, asked: method === 'POST' ? options.body : '', status: response.status, headers, body }));
  return new Response(body, { status: response.status, headers });
};
const source = new PouchDB(url, { skip_setup: true, ...(record && { fetch: recorded }) });
const local = new PouchDB('copy', { adapter: 'memory' });
await local.info();
const begun = performance.now();
const { ok, docs_written: written, doc_write_failures: failures } = await local.replicate.from(source);
const seconds = (performance.now() - begun) / 1e3;
const { doc_count: documents } = await local.info();
if (!ok || failures || written !== documents) throw new Error(`ended with ${documents} documents, ${written} written, ${failures} failures`);
if (record) writeFileSync(record, lines.map((line) => `${line}\n`).join(''));
console.log(JSON.stringify({ seconds, documents }));
