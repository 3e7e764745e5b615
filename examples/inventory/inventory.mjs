#!/usr/bin/env node
// Two tills sell from one stock of 50 boxes. Ada wants 60 and takes what is there, 40 at least; Bob wants exactly 20, or
// nothing. Whoever comes first, and whoever dies before the answer: each is told one thing, and nothing is sold twice.
//   node inventory.mjs --server PROGRAM
// Ends with 0 when that was so, else with 1.
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { Server } from '../offline-notes/server.mjs';
import { Relay } from './relay.mjs';

const STOCK = 50;
const ADA = { customer: 'Ada', want: 60, least: 40 };
const BOB = { customer: 'Bob', want: 20, least: 20 };
const TILL = fileURLToPath(new URL('till.mjs', import.meta.url));

const { values: { server: program } } = parseArgs({ options: { server: { type: 'string' } } });
if (!program) {
  console.error('usage: inventory.mjs --server PROGRAM');
  process.exit(2);
}
const folder = mkdtempSync(join(tmpdir(), 'inventory-'));
process.on('exit', () => rmSync(folder, { recursive: true, force: true }));
const server = new Server(program);
await server.start();
const relay = await Relay.to(server.url);

async function ask(method, path, body) {
  const { origin, username, password } = new URL(server.url);
  const authorization = `Basic ${btoa(`${username}:${password}`)}`;
  const reply = await fetch(origin + path, { method, headers: { authorization }, body: body && JSON.stringify(body) });
  if (!reply.ok) throw new Error(`${method} ${path}: ${reply.status} ${await reply.text()}`);
  return reply.json();
}

/** A till at work, which can be killed; `outcome` is what it prints, null if it does not come to that. */
function till(shop, url, { customer, want, least }) {
  const file = join(folder, `${shop}-${customer}.jsonl`);
  const child = spawn(process.execPath, [TILL, `${url}/${shop}`, file, customer, want, least], { stdio: ['ignore', 'pipe', 'inherit'] });
  let printed = '';
  child.stdout.on('data', (text) => (printed += text));
  const outcome = new Promise((done) => child.on('close', () => done(printed ? JSON.parse(printed) : null)));
  return { outcome, kill: () => child.kill('SIGKILL') };
}

const direct = () => server.url;
const wire = () => relay.by(server.url).replace(/\/$/, '');

/** What happens to the first of two tills. Each gives what both are told. */
const mishaps = {
  async 'nothing goes wrong'(shop, first, second) {
    return [await till(shop, direct(), first).outcome, await till(shop, direct(), second).outcome];
  },
  async 'the till dies before the answer'(shop, first, second) {
    const sold = relay.loseAnswer();
    const dying = till(shop, wire(), first);
    await sold;
    dying.kill();
    if ((await dying.outcome) !== null) throw new Error('the till heard the answer');
    const other = await till(shop, direct(), second).outcome;
    return [await till(shop, direct(), first).outcome, other];
  },
  async 'the server dies between commit and reply'(shop, first, second) {
    const sold = relay.loseAnswer();
    const waiting = till(shop, wire(), first);
    await sold;
    await server.kill();
    relay.cut();
    await server.start();
    const other = await till(shop, direct(), second).outcome;
    return [await waiting.outcome, other];
  },
};

function told({ customer, want }, outcome) {
  if (outcome.accepted) return `${customer} got ${outcome.taken.clips.boxes} of ${want}`;
  return `${customer} got nothing, ${outcome.reason}: ${outcome.current.clips.boxes} are there`;
}

let count = 0;
for (const [first, second] of [[ADA, BOB], [BOB, ADA]]) {
  console.log(`${first.customer} is first`);
  const seen = new Set();
  for (const [mishap, happens] of Object.entries(mishaps)) {
    const shop = `shop-${++count}`;
    await ask('PUT', `/${shop}`);
    await ask('PUT', `/${shop}/clips`, { boxes: STOCK });
    const outcomes = await happens(shop, first, second);
    const { boxes, _rev } = await ask('GET', `/${shop}/clips`);
    const { rows } = await ask('GET', `/${shop}/_all_docs?startkey="order-"&endkey="order-z"`);
    const line = [told(first, outcomes[0]), told(second, outcomes[1]), `${boxes} are left`].join('; ');
    console.log(`  ${mishap}\n    ${line}`);
    seen.add(line);
    const sold = outcomes.filter((it) => it.accepted);
    const boxesSold = sold.reduce((sum, it) => sum + it.taken.clips.boxes, 0);
    if (boxes + boxesSold !== STOCK) throw new Error(`${boxesSold} were sold, and ${boxes} are left of ${STOCK}`);
    if (rows.length !== sold.length) throw new Error(`${rows.length} orders for ${sold.length} sales`);
    if (parseInt(_rev, 10) !== 1 + sold.length) throw new Error(`the stock is ${_rev} after ${sold.length} sales`);
  }
  if (seen.size !== 1) throw new Error('what went wrong made a difference');
}
relay.stop();
await server.stop();
console.log('nothing was sold twice');
