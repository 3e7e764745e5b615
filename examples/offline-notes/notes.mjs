#!/usr/bin/env node
// Two clients share a database of countries, take notes without a network, disagree, and agree again.
//   node notes.mjs URL                                  a database on a server that is running
//   node notes.mjs --server PROGRAM [--documents FILE] [--kill]
//                                                       starts a server, fills it, and may kill it
// Ends with 0 when server and clients are equal at the end, else with 1.
import { parseArgs } from 'node:util';
import { Client, remote } from './client.mjs';
import { converged, differences, until } from './convergence.mjs';
import { Server } from './server.mjs';
import { isOfNetwork } from './sync.mjs';

const USAGE = `usage: notes.mjs URL
       notes.mjs --server PROGRAM [--documents FILE] [--kill]`;
const OFFLINE_NOTES = 150;
const COUNTRIES = ['ISL', 'NOR', 'FIN', 'PRT'];

const begin = Date.now();
const say = (text) => console.log(`${((Date.now() - begin) / 1000).toFixed(1).padStart(6)} s  ${text}`);

async function main() {
  const { server, url, kill } = await place();
  const central = remote(url);
  await seed(central);
  const phone = new Client('phone', url), laptop = new Client('laptop', url);
  const everyone = [central, phone.database, laptop.database];
  const run = `notes/${Date.now().toString(36)}`; // so that the example can run again on the same database

  await converged(everyone);
  say(`phone and laptop hold the ${(await central.info()).doc_count} documents of the server`);

  await phone.note('ISL', `${run}: the geysers are worth a detour`);
  await until('laptop sees the note', async () => (await laptop.notes('ISL')).some((n) => n.includes(run)));
  await laptop.note('NOR', `${run}: bring a raincoat`);
  await until('phone sees the note', async () => (await phone.notes('NOR')).some((n) => n.includes(run)));
  say('a note of each has reached the other');

  phone.online = laptop.online = false;
  await phone.note('ISL', `${run}: closed in winter`);
  await laptop.note('ISL', `${run}: open all year`);
  await phone.note('FIN', `${run}: only the phone was here`);
  await laptop.note('PRT', `${run}: only the laptop was here`);
  await Promise.all([phone, laptop].map((client) => diary(client, run)));
  say(`offline, each wrote ${OFFLINE_NOTES} notes, and they disagree about Iceland`);
  const apart = await differences(everyone);
  if (apart.length < 2 * OFFLINE_NOTES) throw new Error('a client that is offline reached the server');

  phone.online = laptop.online = true;
  if (kill) await interrupt(server, central, apart.length);
  await until('the conflict is known everywhere', async () =>
    (await Promise.all(everyone.map((one) => conflicts(one, 'ISL')))).every((found) => found === 1));
  await converged(everyone);
  say('back online: all three hold the same documents, and the same conflict');

  await laptop.settle('ISL');
  await until('the conflict is gone everywhere', async () =>
    (await Promise.all(everyone.map((one) => conflicts(one, 'ISL')))).every((found) => found === 0));
  await converged(everyone);
  const both = (await phone.notes('ISL')).filter((note) => note.includes(run));
  if (both.length !== 3) throw new Error(`notes were lost when the conflict was settled: ${both}`);
  say(`the laptop kept both opinions: ${both.map((n) => n.replace(`${run}: `, '')).join('; ')}`);

  await complete(everyone, run);
  await flags(everyone);
  for (const client of [phone, laptop]) {
    if (client.denied.length) throw client.denied[0];
    await client.stop();
  }
  await server?.stop();
  say('converged: nothing was lost, nobody was asked to type anything again');
}

/** The database to use; with --server, on a server of our own. */
async function place() {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      server: { type: 'string' },
      documents: { type: 'string' },
      kill: { type: 'boolean', default: false },
    },
  });
  if (positionals.length + (values.server ? 1 : 0) !== 1 || (values.kill && !values.server)) {
    console.error(USAGE);
    process.exit(2);
  }
  if (!values.server) return { server: null, url: positionals[0], kill: false };
  const server = new Server(values.server);
  if (values.documents) await server.load('countries', values.documents);
  await server.start();
  return { server, url: `${server.url}/countries`, kill: values.kill };
}

/** Makes the database and the countries that the story needs, where they are missing. */
async function seed(central) {
  const made = await central.fetch('', { method: 'PUT' });
  if (![201, 202, 412].includes(made.status)) {
    throw new Error(`the server refused the database with ${made.status}: ${await made.text()}`);
  }
  for (const id of COUNTRIES) {
    const there = await central.get(id).catch(() => null);
    if (!there) await central.put({ _id: id, name: id });
  }
}

async function diary(client, run) {
  const entries = Array.from({ length: OFFLINE_NOTES }, (_, number) => ({
    _id: `${run}/${client.name}/${String(number).padStart(4, '0')}`,
    notes: [{ by: client.name, text: `day ${number}` }],
  }));
  await client.database.bulkDocs(entries);
}

/** Kills the server when a part of what was written offline has arrived, and starts it again. */
async function interrupt(server, central, expected) {
  const before = (await central.info()).doc_count;
  const some = async () => (await central.info()).doc_count > before;
  await until('the first notes arrive', some, { poll_ms: 1 });
  await server.kill();
  say(`the server was killed while up to ${expected} documents were on their way to it`);
  const took = await server.start();
  say(`and answered again ${took} ms after it was started`);
}

async function conflicts(database, id) {
  return ((await database.get(id, { conflicts: true }))._conflicts ?? []).length;
}

/** Everyone has every entry of both diaries. */
async function complete(everyone, run) {
  for (const database of everyone) {
    const { rows } = await database.allDocs({ startkey: `${run}/`, endkey: `${run}/\uffff` });
    if (rows.length !== 2 * OFFLINE_NOTES) {
      throw new Error(`${rows.length} of ${2 * OFFLINE_NOTES} notes are in ${database.name}`);
    }
  }
}

/** The flags, where the documents have them, are the same bytes everywhere. */
async function flags(everyone) {
  for (const id of COUNTRIES) {
    const { _attachments } = await everyone[0].get(id);
    if (!_attachments?.['flag.svg']) continue;
    const [first, ...others] = await Promise.all(
      everyone.map((database) => database.getAttachment(id, 'flag.svg')));
    if (!others.every((other) => first.equals(other))) throw new Error(`the flags of ${id} differ`);
  }
}

// PouchDB leaves some promises of a feed whose connection broke to nobody. A browser prints them on
// its console and goes on; Node would end.
process.on('unhandledRejection', (error) => {
  if (!isOfNetwork(error)) throw error;
});

main().then(() => process.exit(0), (error) => {
  // PouchDB's errors say what happened in their fields, not in their message.
  console.error(`not converged: ${error.status ? `${error.status} ${error.name}: ${error.reason ?? error.message}` : error.stack}`);
  process.exit(1);
});
