// Invoices in a database: what is due stays right whatever happens to them.
//   node invoices.mjs http://admin:PASSWORD@127.0.0.1:5984/invoices
import { isDeepStrictEqual, parseArgs } from 'node:util';

import { balance, dueByCode, invoice, pay, randomOf, rewrite } from './books.mjs';
import { Database } from './database.mjs';
import { design } from './design.mjs';

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    invoices: { type: 'string', default: '300' },
    rounds: { type: 'string', default: '40' },
    seed: { type: 'string', default: String(Math.floor(Math.random() * 2 ** 31)) },
  },
});
const [url] = positionals;
if (!url) {
  console.error('usage: node invoices.mjs URL [--invoices N] [--rounds N] [--seed N]');
  process.exit(2);
}
const random = randomOf(Number(options.seed));
const database = new Database(url);
const begun = performance.now();

function say(text) {
  console.log(`${((performance.now() - begun) / 1000).toFixed(1).padStart(6)} s  ${text}`);
}

function must(right, wrong) {
  if (!right) throw new Error(`${wrong} (seed ${options.seed})`);
}

const euros = (cents) => (cents / 100).toFixed(2);

/** The view, beside what follows from all documents. */
async function compare() {
  const rows = await database.view('due', { group_level: 1 });
  const seen = Object.fromEntries(rows.map(({ key, value }) => [key[0], value]));
  const docs = await database.all();
  const expected = dueByCode(docs);
  must(isDeepStrictEqual(seen, expected),
    `due by code is ${JSON.stringify(seen)}, not ${JSON.stringify(expected)}`);
  const balances = (await database.view('balance', { reduce: false })).map(({ key }) => key);
  const open = docs.map(balance).filter((due) => due > 0).sort((a, b) => a - b);
  must(isDeepStrictEqual(balances, open), 'the balances differ');
  return expected;
}

/** A version that another replica wrote at the same time, as replication brings it. */
function elsewhere(doc) {
  const [generation] = doc._rev.split('-');
  const digest = Array.from({ length: 32 }, () => random.below(16).toString(16)).join('');
  return { ...doc, _rev: `${Number(generation) + 1}-${digest}`,
    _revisions: { start: Number(generation) + 1, ids: [digest, doc._rev.split('-')[1]] } };
}

const changes = {
  async pays(doc) { await database.put(pay(random, doc)); },
  async edits(doc) { await database.put(rewrite(random, doc)); },
  async deletes(doc) { await database.remove(doc); },
  async disagrees(doc) {
    const other = elsewhere(rewrite(random, doc));
    await database.put(pay(random, doc));
    await database.bulk([other], false);
  },
  async settles(doc) {
    const { _conflicts = [] } = await database.get(doc._id, '?conflicts=true');
    for (const rev of _conflicts) await database.remove({ _id: doc._id, _rev: rev });
  },
};

await database.ask('DELETE').catch(({ status }) => must(status === 404, 'the database stays'));
await database.ask('PUT');
await database.ask('PUT', `/${design._id}`, design);
const count = Number(options.invoices);
await database.bulk(Array.from({ length: count }, (_, at) => invoice(random, at + 1)));
say(`${count} invoices, due by code: ${JSON.stringify(await compare())}`);

const done = {};
for (let round = 0, added = count; round < Number(options.rounds); round++) {
  const docs = await database.all();
  for (let step = 0; step < 1 + random.below(8); step++) {
    const name = random.from(['pays', 'pays', 'edits', 'deletes', 'disagrees', 'settles']);
    const at = random.below(docs.length);
    const [doc] = docs.splice(at, 1); // each once a round, so that its revision is the newest
    await changes[name](doc);
    done[name] = (done[name] ?? 0) + 1;
  }
  await database.put(invoice(random, ++added));
  await compare();
}
say(`right after each of ${options.rounds} rounds of changes: ${JSON.stringify(done)}`);

const first = invoice(random, 99_999);
for (const [wrong, doc] of [
  ['a code that is none', { ...first, lines: [{ text: 'a', amount: 5, allocations: [{ code: 'X', amount: 5 }] }] }],
  ['a split that does not add up', { ...first, lines: [{ ...first.lines[0], amount: 1_000_000 }] }],
]) {
  const error = await database.put(doc).then(() => null, (refused) => refused);
  must(error?.status === 403, `${wrong} was taken: ${error}`);
  say(`${wrong} is refused: ${error.reason}`);
}

let doc = await database.put(first);
const due = [balance(doc)];
for (let payment = 0; payment < 3 && balance(doc) > 0; payment++) {
  doc = await database.put(pay(random, doc));
  due.push(balance(doc));
}
const { _revisions: { start, ids } } = await database.get(doc._id, '?revs=true');
const versions = [];
for (const [at, id] of ids.entries()) {
  versions.unshift(balance(await database.get(doc._id, `?rev=${start - at}-${id}`)));
}
must(isDeepStrictEqual(versions, due), 'the versions differ');
say(`${doc.number} in its versions was due ${due.map(euros).join(', ')}`);

const high = await database.view('balance', { reduce: false, descending: true, endkey: 300_000, limit: 5 });
must(high.every(({ key }) => key >= 300_000), 'a low balance among the high ones');
for (const { key, value } of high) say(`${value.number} of ${value.customer}: ${euros(key)} due`);
const [{ value: open } = { value: 0 }] = await database.view('balance');
say(`${open} invoices are open; all figures were right`);
