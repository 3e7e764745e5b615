#!/usr/bin/env node
// A phone makes lists of favourites without a network. A laptop syncs while they arrive, and never sees a list without
// all that is on it, nor anything without its list.
//   node favourites.mjs --server PROGRAM
// Ends with 0 when that was so, else with 1.
import { parseArgs } from 'node:util';
import PouchDB from 'pouchdb';
import memory from 'pouchdb-adapter-memory';
import { Outbox } from 'settle-outbox';
import { Relay } from '../inventory/relay.mjs';
import { Server } from '../offline-notes/server.mjs';

PouchDB.plugin(memory);

const LISTS = 24;

const { values: { server: program } } = parseArgs({ options: { server: { type: 'string' } } });
if (!program) {
  console.error('usage: favourites.mjs --server PROGRAM');
  process.exit(2);
}
const server = new Server(program);
await server.start();
const relay = await Relay.to(server.url);
const url = `${server.url}/favourites`;
const central = new PouchDB(url);
await central.info(); // makes the database
await central.put({
  _id: '_design/rules',
  validate_doc_update: `function (doc) {
    if (doc.type === 'item' && !doc.title) throw({ forbidden: 'a favourite has a title' });
  }`,
});

/** A list, and a document for each thing on it. The ninth and the sixteenth have something without a title. */
function list(number) {
  const id = `list-${String(number).padStart(2, '0')}`;
  const count = 3 + (number * 7) % 40;
  const items = Array.from({ length: count }, (_, at) => ({ _id: `${id}/${at}`, type: 'item', title: `favourite ${at}` }));
  if (number === 9 || number === 16) items[count - 1].title = '';
  return [{ _id: id, type: 'list', items: items.map(({ _id }) => _id) }, ...items];
}
const put = ({ _id, ...rest }) => ({ id: _id, put: rest });

// The phone. Even lists are one transaction with many writes; odd ones a group of transactions, all in one. What is
// made of them comes back into its PouchDB.
const phone = new PouchDB('phone', { adapter: 'memory' });
const outbox = await Outbox.open(relay.by(url), { pouch: phone, paused: true, batchCountMax: 4, backoffFirstMs: 20 });
const lists = Array.from({ length: LISTS }, (_, at) => list(at + 1));
const added = [];
for (const [at, docs] of lists.entries()) {
  const isGroup = at % 2 === 0;
  const group = isGroup ? docs.map((doc) => ({ writes: [put(doc)] })) : [{ writes: docs.map(put) }];
  added.push(await outbox.add(group));
}
const items = lists.reduce((sum, docs) => sum + docs.length - 1, 0);
console.log(`offline, the phone made ${LISTS} lists with ${items} favourites`);

/** Throws where a database has a part of a list. */
async function check(database, name) {
  const { rows } = await database.allDocs({ include_docs: true });
  const there = new Set(rows.map(({ id }) => id));
  const whole = rows.filter(({ doc }) => doc.type === 'list');
  for (const { id, doc } of whole) {
    const missing = doc.items.filter((item) => !there.has(item));
    if (missing.length > 0) throw new Error(`${name} sees ${id} without ${missing}`);
  }
  for (const { id, doc } of rows) {
    if (doc.type === 'item' && !there.has(id.split('/')[0])) throw new Error(`${name} sees ${id} without its list`);
  }
  return whole.map(({ id }) => id);
}

// The laptop syncs again and again while they arrive, from before the first to after the last.
const laptop = new PouchDB('laptop', { adapter: 'memory' });
async function look() {
  await laptop.replicate.from(central);
  return check(laptop, 'the laptop');
}
if ((await look()).length > 0) throw new Error('something arrived before it was sent');
let arriving = true;
const looking = (async () => {
  while (arriving) await look();
})();
looking.catch(() => {}); // it is awaited below

// Some answers are lost, and the phone asks again.
let lost = 0;
const losing = (async () => {
  for (; lost < 3; lost++) {
    await relay.loseAnswer();
    relay.cut();
  }
})();
await outbox.resume();
await outbox.sync();
await losing;
arriving = false;
await looking;
console.log(`${lost} answers were lost on the way, and asked for again`);
console.log('whenever the laptop had synced, each list that it had was whole');

for (const [at, group] of added.entries()) {
  const outcomes = await Promise.all(group.map(({ outcome }) => outcome));
  const refused = outcomes.find((it) => !it.accepted && !it.retry);
  if (refused) console.log(`${lists[at][0]._id} was refused: ${refused.detail.problem}; nothing of it was made`);
}
const [onServer, onLaptop, onPhone] = [await check(central, 'the server'), await look(), await check(phone, 'the phone')];
if (String(onServer) !== String(onLaptop) || String(onServer) !== String(onPhone)) throw new Error('they differ');
console.log(`server, laptop and phone have the same ${onServer.length} lists`);
await outbox.close();
relay.stop();
await server.stop();
