// Ten thousand transactions, or as many as are said, that were gathered offline, through a network that is cut all the
// time, to a server that is killed in the midst, by a client that is started again: each is made once, and none is missing.
//   node outbox-exactly-once.mjs PROGRAM [--transactions N] [--seed SEED]
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { FileStore } from '../../clients/settle-outbox/file.js';
import { Outbox } from '../../clients/settle-outbox/index.js';
import { Server } from '../../examples/offline-notes/server.mjs';
import { must } from './replicas.mjs';
import { slowProxy } from './slow-proxy.mjs';

const { values: options, positionals: [program] } = parseArgs({
  allowPositionals: true,
  options: { transactions: { type: 'string', default: '10000' }, seed: { type: 'string', default: String(Date.now() % 1_000_000) } },
});
if (!program) {
  console.error('usage: outbox-exactly-once.mjs PROGRAM [--transactions N] [--seed SEED]');
  process.exit(2);
}
const COUNT = Number(options.transactions), BATCH = 100, COUNTERS = 7, LISTS = 100;
const NETWORK = ['--latency', '15ms', '--jitter', '15ms', '--rate', '2Mbit', '--reset', '400ms', '--cut-every', '500ms', '--cut-for', '50ms', '--stall', '150ms/1s', '--seed', options.seed];
const begun = performance.now();
const seconds = () => ((performance.now() - begun) / 1000).toFixed(1);
const said = { requests: 0, unanswered: 0, sent: 0 };

const folder = await mkdtemp(join(tmpdir(), 'exactly-once-'));
const server = new Server(program);
await server.start();
const url = `${server.url}/shop`;
await must(url, 'PUT');
const docs = [
  ...Array.from({ length: COUNTERS }, (_, n) => ({ _id: `counter-${n}`, n: 0 })),
  ...Array.from({ length: LISTS }, (_, n) => ({ _id: `list-${n}`, all: [] })),
];
await must(`${url}/_bulk_docs`, 'POST', { docs });
const proxy = await slowProxy(program, url, NETWORK);
const address = new URL(url);
address.host = new URL(proxy.url).host;

async function counting(to, request) {
  said.requests += 1;
  said.sent += JSON.parse(request.body).transactions.length;
  try {
    return await fetch(to, request);
  } catch (error) {
    said.unanswered += 1;
    throw error;
  }
}
/** The client as it is after a start: all that it knows is in the file. */
async function client(paused) {
  const store = await FileStore.open(join(folder, 'outbox.jsonl'));
  const outbox = await Outbox.open(address.href, { store, paused, batchCountMax: BATCH, fetch: counting, backoffFirstMs: 20, backoffMaxMs: 300, timeoutMs: 3000 });
  outbox.on('outcome', (outcome) => void told.push(outcome));
  return outbox;
}
/** Outcomes as the application heard them. */
const told = [];
/** Resolves when so many have been reported. */
const reported = async (count) => {
  while (told.length < count) await new Promise((tick) => setTimeout(tick, 5));
};

let outbox = await client(true);
const ids = [];
for (let at = 0; at < COUNT; at += 1000) {
  const part = Array.from({ length: Math.min(1000, COUNT - at) }, (_, n) => transaction(at + n));
  ids.push(...(await Promise.all(part.map((it) => outbox.add(it)))).map(({ id }) => id));
}
function transaction(n) {
  return {
    writes: [
      { id: `counter-${n % COUNTERS}`, ops: [{ inc: { field: 'n', by: n } }] },
      { id: `list-${n % LISTS}`, ops: [{ append: { field: 'all', value: n } }] },
    ],
  };
}
console.log(`${seconds()} s  ${COUNT} transactions were gathered offline (seed ${options.seed})`);
await outbox.resume();
await reported(COUNT / 4);
await outbox.close();
console.log(`${seconds()} s  the client was ended after ${told.length} outcomes, and is started again`);
outbox = await client(false);
await reported(COUNT / 2);
await server.kill();
await new Promise((tick) => outbox.on('waiting', tick));
const took = await server.start();
console.log(`${seconds()} s  the server was killed after ${told.length} outcomes, and answered ${took} ms after it was started again`);
await outbox.sync();
await reported(COUNT);
await outbox.close();
const report = await proxy.stop();

let passed = true;
function judge(right, title, wrong) {
  passed &&= right;
  console.log(`${right ? 'PASS' : 'FAIL'} outbox-exactly-once: ${title}${right ? '' : ` -- ${wrong}`}`);
}
{
  const accepted = told.filter((it) => it.accepted).length;
  judge(accepted === COUNT, 'every transaction was accepted', `${accepted} of ${COUNT}`);
  const distinct = new Set(told.map(({ id }) => id));
  judge(told.length === COUNT && distinct.size === COUNT && ids.every((id) => distinct.has(id)),
    'each outcome was reported once', `${told.length} reports of ${distinct.size}`);
}
{
  const lists = await Promise.all(Array.from({ length: LISTS }, async (_, n) => (await must(`${url}/list-${n}`)).all));
  const twice = lists.flatMap((list) => list.filter((value, at) => list.indexOf(value) !== at));
  judge(twice.length === 0, 'nothing was done twice', `${twice.slice(0, 10)}`);
  const there = new Set(lists.flat());
  judge(there.size === COUNT, 'nothing is missing', `${COUNT - there.size} values`);
  const inOrder = lists.every((list) => list.every((value, at) => at === 0 || list[at - 1] < value));
  judge(inOrder, 'all was done in the order in which it was gathered', 'a list is not in order');
  const total = (await Promise.all(Array.from({ length: COUNTERS }, async (_, n) => (await must(`${url}/counter-${n}`)).n)))
    .reduce((sum, n) => sum + n, 0);
  judge(total === (COUNT * (COUNT - 1)) / 2, 'the counters add up', `${total}`);
  const { update_seq: seq } = await must(url);
  judge(parseInt(seq, 10) === docs.length + 2 * COUNT, 'each made two changes', `the sequence is ${seq}`);
}
console.log(`${seconds()} s  ${said.requests} requests, ${said.unanswered} of them without an answer, with ${said.sent} transactions; ${report}`);
await server.stop();
await rm(folder, { recursive: true, force: true });
process.exit(passed ? 0 : 1);
