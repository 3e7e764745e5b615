// Replicas that have exchanged everything agree, whatever happened before: for each seed, a few Settle
// servers and PouchDB clients are edited at random, replicate over good links and bad ones, are killed and
// started again. Then all is quiet, everybody replicates until nothing moves, and all must have the same
// leaves, the same winners and the same bodies.
//   node convergence.mjs PROGRAM [--from SEED] [--count SEEDS] [--state FILE] [--by pouchdb] [--plant]
// --state remembers how far it came, so that many seeds can be run in pieces. --by pouchdb lets PouchDB
// replicate between servers, which else do it themselves. --plant puts a server among the replicas that answers
// with the wrong winner, and passes if that is found.
import { spawn } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { parseArgs } from 'node:util';
import PouchDB from 'pouchdb';
import memory from 'pouchdb-adapter-memory';
import { Server } from '../../examples/offline-notes/server.mjs';
import { LiveSync, ended, fetchInNode, isOfNetwork } from '../../examples/offline-notes/sync.mjs';
import { ask, assertSame, branch, bytes, contents, must } from './replicas.mjs';
PouchDB.plugin(memory);
process.setMaxListeners(0); // each server takes one to be killed by

const NODES_MAX = 5;
const DOCUMENTS = 8;
const ROUNDS_MAX = 20;
const SEED_SECONDS_MAX = 120;

const { positionals: [program], values: options } = parseArgs({
  allowPositionals: true,
  options: { from: { type: 'string', default: '1' }, count: { type: 'string', default: '50' }, state: { type: 'string' }, by: { type: 'string', default: 'settle' }, plant: { type: 'boolean', default: false }, verbose: { type: 'boolean', default: false } },
});
if (!program) {
  console.error('usage: convergence.mjs PROGRAM [--from SEED] [--count SEEDS] [--state FILE] [--by pouchdb] [--plant]');
  process.exit(2);
}

/** Numbers that follow from a seed (mulberry32). */
class Random {
  constructor(seed) { this.state = seed >>> 0; }
  next() {
    this.state = (this.state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(this.state ^ (this.state >>> 15), this.state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return (mixed ^ (mixed >>> 14)) >>> 0;
  }
  below(end) { return this.next() % end; }
  of(list) { return list[this.below(list.length)]; }
  percent(chance) { return this.below(100) < chance; }
  hex() { return Array.from({ length: 4 }, () => this.next().toString(16).padStart(8, '0')).join(''); }
}

/** A server that lives through all seeds, with a bad link before it. */
class Site {
  constructor() { this.server = new Server(program); }
  async start(seed) {
    await this.server.start();
    this.proxy = spawn(program, [
      'slow-proxy', '--to', new URL(this.server.url).host, '--seed', `${seed}`, '--latency', '1ms', '--jitter', '4ms',
      '--stall', '100ms/1s', '--reset', '800ms', '--cut-every', '500ms', '--cut-for', '50ms',
    ], { stdio: ['ignore', 'pipe', 'inherit'] });
    process.on('exit', () => this.proxy.kill('SIGKILL'));
    const host = await new Promise((resolve, reject) => {
      let said = '';
      this.proxy.on('exit', (code) => reject(new Error(`the proxy ended with ${code}`)));
      this.proxy.stdout.on('data', (text) => {
        const address = /listening on (\S+)/.exec(said += text);
        if (address) resolve(address[1]);
      });
    });
    const bad = new URL(this.server.url);
    bad.host = host;
    this.badUrl = bad.href.replace(/\/$/, '');
  }
  get url() { return this.tampered ?? this.server.url; }
  async stop() {
    const ended = new Promise((resolve) => this.proxy.on('exit', resolve));
    this.proxy.kill('SIGTERM');
    await ended;
    await this.server.stop();
  }
}

/** A database of a server. */
class SettleNode {
  constructor(name, site) { Object.assign(this, { name, site }); }
  get url() { return `${this.site.url}/${this.name}`; }
  get badUrl() { return `${this.site.badUrl}/${this.name}`; }
  get replica() { return this.url; }
  /** As PouchDB sees it. */
  pouch(isBad) { return new PouchDB(isBad ? this.badUrl : this.url, { skip_setup: true, fetch: fetchInNode }); }
  async open() { await must(this.url, 'PUT'); }
  async close() { await must(this.url, 'DELETE'); }
  write(docs, rest = {}) { return must(`${this.url}/_bulk_docs`, 'POST', { docs, ...rest }); }
  async read(id, query = {}) {
    const { status, json } = await ask(`${this.url}/${id}?${new URLSearchParams(query)}`);
    if (status === 200) return json;
    if (status === 404) return null;
    throw new Error(`GET ${id}: ${status}`);
  }
  async leaves(id) {
    const { status, json } = await ask(`${this.url}/${id}?open_revs=all&revs=true`);
    return status === 200 ? json.map((it) => it.ok).filter(Boolean) : [];
  }
}

/** A PouchDB in memory. */
class PouchNode {
  constructor(name) { this.name = name; }
  get replica() { return this.database; }
  pouch() { return this.database; }
  async open() { this.database = new PouchDB(this.name, { adapter: 'memory' }); }
  async close() { await this.database.destroy(); }
  write(docs, rest = {}) { return this.database.bulkDocs(docs, rest); }
  read(id, query = {}) { return this.database.get(id, query).catch((error) => (error.status === 404 ? null : Promise.reject(error))); }
  async leaves(id) {
    const leaves = await this.database.get(id, { open_revs: 'all', revs: true }).catch((error) => (error.status === 404 ? [] : Promise.reject(error)));
    return leaves.map((it) => it.ok).filter(Boolean);
  }
}

/** The server at `to`, but that a document in conflict is answered with a losing leaf. The planted bug. */
async function tamper(to) {
  const { origin } = new URL(to);
  const server = createServer(async (request, reply) => {
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    const { host, ...headers } = request.headers;
    const url = `${origin}${request.url}`;
    if (request.method === 'GET' && /^\/[^/?_]+\/[^/?_]+$/.test(request.url)) {
      const json = async (query) => (await fetch(url + query, { headers: { ...headers, accept: 'application/json' } })).json();
      const { _conflicts: [loser] = [] } = await json('?conflicts=true');
      if (loser) return reply.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(await json(`?rev=${loser}`)));
    }
    const { connection, 'content-length': length, 'transfer-encoding': encoding, ...kept } = headers;
    const passed = await fetch(url, { method: request.method, headers: kept, body: chunks.length ? Buffer.concat(chunks) : undefined });
    reply.writeHead(passed.status, { 'content-type': passed.headers.get('content-type') ?? 'application/json' });
    reply.end(Buffer.from(await passed.arrayBuffer()));
  });
  await new Promise((ok) => server.listen(0, '127.0.0.1', ok).unref());
  const tampered = new URL(to);
  tampered.port = server.address().port;
  return tampered.href.replace(/\/$/, '');
}

/** What is awaited now, in words. */
const doing = new Set();

async function awaiting(what, work) {
  doing.add(what);
  try {
    return await work;
  } finally {
    doing.delete(what);
  }
}

/** Replicates once. Gives how many documents were written. */
const once = (from, to, isBad = false) => awaiting(`${from.name} to ${to.name}${isBad ? ' over a bad link' : ''}`, replicated(from, to, isBad));

async function replicated(from, to, isBad) {
  if (from instanceof SettleNode && to instanceof SettleNode && options.by === 'settle') {
    // The one that runs it names its own database, and reaches the other over the link.
    const isPull = isBad ? from.name < to.name : from.name > to.name;
    const far = (node) => (isBad ? node.badUrl : node.url);
    const job = isPull ? { source: far(from), target: to.name } : { source: from.name, target: far(to) };
    const { status, json } = await ask(`${(isPull ? to : from).site.url}/_replicate`, 'POST', job);
    if (status !== 200 || !json.ok) throw new Error(`_replicate: ${status} ${JSON.stringify(json)}`);
    return json.no_changes ? 0 : json.history[0].docs_written;
  }
  const { docs_written, doc_write_failures, errors } = await ended(PouchDB.replicate(from.pouch(isBad), to.pouch(isBad)));
  if (doc_write_failures > 0) throw new Error(`PouchDB could not write: ${JSON.stringify(errors)}`);
  return docs_written;
}

/** Keeps replicating, both ways, over the bad link. Gives what ends it. */
async function keepOn(one, other) {
  if (one instanceof SettleNode && other instanceof SettleNode && options.by === 'settle') {
    const jobs = [{ source: one.name, target: other.badUrl }, { source: other.badUrl, target: one.name }].map((job) => ({ ...job, continuous: true }));
    for (const job of jobs) {
      const { status, json } = await ask(`${one.site.url}/_replicate`, 'POST', job);
      if (status !== 202 && status !== 200) throw new Error(`_replicate: ${status} ${JSON.stringify(json)}`);
    }
    return async () => {
      for (const job of jobs) {
        const { status } = await ask(`${one.site.url}/_replicate`, 'POST', { ...job, cancel: true });
        // A server that was killed has forgotten it.
        if (status !== 200 && status !== 404) throw new Error(`cancel: ${status}`);
      }
    };
  }
  const sync = new LiveSync(one.pouch(true), other.pouch(true), { retryMs: 100, heartbeat: 1000 });
  return () => sync.stop();
}

/** What one seed does. Throws when its replicas do not agree. */
async function live(seed, sites, counts) {
  const random = new Random(seed);
  const size = 2 + random.below(NODES_MAX - 1);
  // In each third seed at least, and never without a server.
  const pouches = Math.min(size - 1, seed % 3 === 0 ? 1 + random.below(2) : random.below(3) === 0 ? 1 : 0);
  const nodes = Array.from({ length: size }, (_, n) =>
    (n < size - pouches ? new SettleNode(`fuzz-${seed}-${n}`, sites[n]) : new PouchNode(`fuzz-${seed}-${n}`)));
  const links = nodes.slice(1).map((node, n) => [nodes[random.below(n + 1)], node]);
  for (let extra = random.below(3); extra > 0; extra -= 1) {
    const [one, other] = [random.of(nodes), random.of(nodes)];
    if (one !== other) links.push([one, other]);
  }
  for (const node of nodes) await node.open();
  const kills = random.percent(25);
  const lasting = [];
  const replicating = [];
  const background = (work) => replicating.push(work.catch(() => { counts.interrupted += 1; }));
  for (const link of links) if (random.percent(30)) lasting.push([link.map((it) => it.name).join(' and '), await keepOn(...link)]);
  for (let step = 20 + random.below(20); step > 0; step -= 1) {
    const node = random.of(nodes), id = `doc-${random.below(DOCUMENTS)}`, kind = random.below(100);
    counts.steps += 1;
    // A name is used for other bytes only where there is no PouchDB: what it fetches of a leaf that has not won
    // is the attachment of the winner, where that has one of the same name.
    if (kind < 30) await edit(node, id, random, {});
    else if (kind < 40) await edit(node, id, random, { _attachments: { [pouches > 0 ? random.hex() : `file-${random.below(3)}`]: { content_type: random.of(['text/plain', 'image/png']), data: bytes(random.next(), random.of([10, 2_000, 70_000])).toString('base64') } } });
    else if (kind < 50) await edit(node, id, random, { _deleted: true });
    else if (kind < 70) await graft(node, id, random);
    else if (kind < 93 || !kills) {
      const [one, other] = random.of(links), isBad = random.percent(50);
      background(once(...(random.percent(50) ? [one, other] : [other, one]), isBad));
      // Some end before the next step, some run beside it.
      if (random.percent(60)) await replicating.at(-1);
    } else if (node instanceof SettleNode) {
      await awaiting(`the end of the server of ${node.name}`, node.site.server.kill());
      await awaiting(`the start of the server of ${node.name}`, node.site.server.start());
      counts.kills += 1;
    }
  }
  await Promise.all(replicating);
  for (const [link, end] of lasting) await awaiting(`the end of what lasts between ${link}`, end());
  let moved = 1;
  for (let round = 0; moved > 0; round += 1) {
    if (round === ROUNDS_MAX) throw new Error(`documents still move after ${ROUNDS_MAX} rounds`);
    moved = 0;
    for (const [one, other] of links) moved += (await once(one, other)) + (await once(other, one));
  }
  const all = [];
  for (const node of nodes) all.push(await contents(node.replica));
  all.forEach((it, n) => assertSame(all[0], it, [nodes[0].name, nodes[n].name]));
  counts.pouchdb += pouches > 0 ? 1 : 0;
  counts.documents += Object.keys(all[0]).length;
  counts.conflicts += Object.values(all[0]).filter((it) => Object.keys(it.leaves).length > 1).length;
  for (const node of nodes) await node.close();
}

/** On a random leaf, or anew. A conflict with what a replication wrote meanwhile is no failure. */
async function edit(node, id, random, more) {
  const leaves = await node.leaves(id), leaf = leaves.length > 0 && random.percent(90) ? random.of(leaves) : null;
  if (more._deleted && !leaf) return;
  const { _revisions, ...before } = leaf ?? {};
  const kept = more._deleted ? undefined : { ...(random.percent(70) ? before._attachments : {}), ...more._attachments };
  await node.write([{ _id: id, ...(leaf && { _rev: leaf._rev }), ...(more._deleted ? { _deleted: true } : { n: random.next() }), ...(kept && Object.keys(kept).length > 0 && { _attachments: kept }) }]);
}

/** A branch from somewhere in the tree, as it comes from a replica far away. */
async function graft(node, id, random) {
  const leaves = await node.leaves(id), { start, ids } = leaves.length > 0 ? random.of(leaves)._revisions : { start: 0, ids: [] };
  const dropped = random.below(ids.length + 1), fresh = Array.from({ length: 1 + random.below(3) }, () => random.hex());
  const body = random.percent(25) ? { _deleted: true } : { n: random.next() };
  await node.write([branch(id, start - dropped + fresh.length, [...fresh, ...ids.slice(dropped)], body)], { new_edits: false });
}

const remembered = options.state && existsSync(options.state) ? JSON.parse(readFileSync(options.state, 'utf8')) : null;
const first = Number(options.from), last = first + Number(options.count) - 1;
const counts = remembered?.counts ?? { seeds: 0, pouchdb: 0, steps: 0, documents: 0, conflicts: 0, kills: 0, interrupted: 0, failed: [] };
const sites = Array.from({ length: NODES_MAX }, () => new Site());
await Promise.all(sites.map((site, n) => site.start(first * NODES_MAX + n)));
if (options.plant) sites[0].tampered = await tamper(sites[0].server.url);
// PouchDB lets go of some of its requests, so that nobody hears how they fail when a link is cut.
process.on('unhandledRejection', (error) => {
  if (!isOfNetwork(error)) throw error;
  counts.interrupted += 1;
});
const begun = Date.now();
for (let seed = Math.max(first, remembered?.next ?? first); seed <= last; seed += 1) {
  let timer;
  const late = new Promise((_, reject) => { timer = setTimeout(() => reject(new Error(`no end within ${SEED_SECONDS_MAX} s of ${[...doing].join(', ')}`)), SEED_SECONDS_MAX * 1000); });
  const start = Date.now();
  try {
    await Promise.race([live(seed, sites, counts), late]);
    if (options.verbose) console.log(`seed ${seed}: ${Date.now() - start} ms`);
  } catch (error) {
    const isPlanted = options.plant && / differ in their winners alone: /.test(error.message);
    if (isPlanted || !options.plant) counts.failed.push(seed);
    if (isPlanted) console.log(`found with seed ${seed}: ${String(error.message).slice(0, 200)}`);
    else console.log(`FAIL convergence: seed ${seed} -- ${String(error.stack).replace(/\s+/g, ' ').slice(0, 1500)}`);
  } finally {
    clearTimeout(timer);
  }
  counts.seeds += 1;
  if (options.state) writeFileSync(options.state, JSON.stringify({ next: seed + 1, counts }));
  if (options.plant && counts.failed.length > 0) break;
}
const { seeds, pouchdb, steps, documents, conflicts, kills, interrupted, failed } = counts;
console.log(`${seeds} seeds, ${pouchdb} of them with PouchDB: ${steps} steps, ${kills} kills, ${interrupted} replications interrupted; at the end ${documents} documents, ${conflicts} of them in conflict; ${Math.round((Date.now() - begun) / 1000)} s`);
const good = options.plant ? failed.length > 0 : failed.length === 0;
const title = options.plant ? 'a wrong winner is found' : 'replicas that exchanged everything agree';
console.log(`${good ? 'PASS' : 'FAIL'} convergence: ${title}${good ? '' : ` -- ${options.plant ? 'not in any seed' : `seeds ${failed.join(' ')}`}`}`);
for (const site of sites) {
  await site.stop().catch((error) => {
    console.log(`FAIL convergence: the server stops when it is asked to -- ${error.message}`);
    process.exitCode = 1;
  });
}
process.exit(good ? process.exitCode ?? 0 : 1);
