// A server that does what is asked once for each id, a network that loses requests and answers, programs that end: every
// transaction is done once, in order, and its outcome is told once. A seed decides, and stands in the message of a failure;
// $OUTBOX_SEEDS says how many.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MemoryStore } from '../index.js';
import { accepted, lost, outbox } from './fake.js';

const SEEDS = Number(process.env.OUTBOX_SEEDS ?? 18);
const COUNT = 80;

/** Mulberry32. */
function randomOf(seed) {
  let state = seed >>> 0;
  return (bound) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) % bound;
  };
}

/** A model of the server: what each id was, what became of it, and what was done in which order. */
function model(random) {
  const known = new Map(), done = [];
  const refuse = (it) => ({ id: it.id, accepted: false, reason: 'missing' });
  const retry = (it, reason) => ({ id: it.id, accepted: false, reason, retry: true });
  const decide = (it) => {
    if (it.refused) return refuse(it);
    if (random(12) === 0) return retry(it, 'undecided');
    done.push(it.n);
    return accepted(it);
  };
  const one = (it) => {
    const text = JSON.stringify(it), before = known.get(it.id);
    if (before) assert.equal(text, before.text, 'the same text');
    if (before) return before.outcome;
    const outcome = decide(it);
    if (!outcome.retry) known.set(it.id, { text, outcome });
    return outcome;
  };
  const answer = ({ mode, transactions }) => {
    const wrong = transactions.findIndex(({ wrong }) => wrong);
    if (wrong >= 0) return [400, { error: 'bad_request', reason: `${random(2) ? `transaction ${wrong}: ` : ''}wrong` }];
    if (mode !== 'all_in_one' && transactions.length > 1 && random(10) === 0) return [413, { error: 'too_large', reason: 'large' }];
    if (random(8) === 0 && transactions.some(({ id }) => !known.has(id))) return [507, { error: 'insufficient_storage', reason: 'full' }];
    if (mode === 'all_in_one') {
      if (transactions.every(({ id }) => known.has(id))) return [200, { transactions: transactions.map(one) }];
      const fails = transactions.find(({ refused }) => refused);
      if (fails) return [200, { transactions: transactions.map((it) => (it === fails ? one(it) : retry(it, 'aborted'))) }];
      return [200, { transactions: transactions.map((it) => {
        assert.ok(!known.has(it.id), 'a group is asked as it was');
        known.set(it.id, { text: JSON.stringify(it), outcome: accepted(it) });
        done.push(it.n);
        return accepted(it);
      }) }];
    }
    const outcomes = [];
    for (const it of transactions) {
      const isHeld = mode === 'stop' && outcomes.some((before) => !before.accepted);
      outcomes.push(isHeld ? retry(it, 'not_attempted') : one(it));
    }
    return [200, { transactions: outcomes }];
  };
  const fetch = async (url, { body }) => {
    const exchange = JSON.parse(body);
    if (random(4) === 0) throw lost();
    if (random(8) === 0) return Response.json({ error: 'busy' }, { status: 503 });
    const [status, json] = answer(exchange);
    if (random(4) === 0) throw lost();
    const text = JSON.stringify(json);
    return new Response(random(8) === 0 ? text.slice(0, -3) : text, { status });
  };
  return { fetch, done };
}

async function life(seed) {
  const random = randomOf(seed), store = new MemoryStore(), server = model(random);
  const mode = ['go_on', 'stop', 'all_in_one'][seed % 3];
  const told = [], ids = new Map(), groups = new Map();
  const open = async () => {
    const box = await outbox(server, { store, mode, batchCountMax: 1 + random(30) });
    box.on('outcome', async (outcome) => {
      await null;
      told.push(outcome);
    });
    box.on('stopped', () => box.resume());
    return box;
  };
  let box = await open();
  for (let n = 0; n < COUNT;) {
    const size = random(10) === 0 ? 1 + random(4) : 0;
    const make = (at) => ({ n: at, ...(random(9) === 0 && { refused: true }), ...(random(25) === 0 && { wrong: true }) });
    if (size > 0) {
      const list = Array.from({ length: size }, (_, at) => make(n + at));
      (await box.add(list)).forEach(({ id }, at) => {
        ids.set(id, list[at]);
        groups.set(id, list);
      });
    } else {
      const it = make(n);
      ids.set((await box.add(it)).id, it);
    }
    n += Math.max(1, size);
    if (random(12) === 0) {
      await box.close();
      box = await open();
    }
  }
  const isOver = async () => (await box.pending()).length === 0 && told.length >= ids.size;
  while (!(await isOver())) await new Promise((tick) => setTimeout(tick, 1));
  await box.close();
  assert.equal(told.length, ids.size, 'each is told once');
  assert.equal(new Set(told.map(({ id }) => id)).size, ids.size, 'each is told');
  const made = told.filter((it) => it.accepted).map(({ id }) => ids.get(id).n).sort((a, b) => a - b);
  assert.deepEqual([...server.done].sort((a, b) => a - b), made, 'what was done is what was told, and once');
  if (mode === 'stop') assert.deepEqual(server.done, made, 'in order');
  for (const { id, accepted: isMade, error, retry } of told) {
    const { refused, wrong } = ids.get(id);
    if (groups.get(id)?.some((it) => it.wrong || it.refused)) assert.ok(!isMade, 'a group is made whole');
    if (wrong) assert.ok(error || retry, 'what is wrong has an error');
    else if (refused) assert.ok(!isMade, 'what is refused is not made');
    // In a group others may be to blame, and the server need not say which. So may those be that were joined with it.
    else if (mode === 'all_in_one' || groups.get(id)) assert.ok(isMade || retry || error);
    else assert.ok(isMade, 'what is right is made');
  }
}

test('whatever is lost on the way, each is done once, in order, and told once', async () => {
  for (let seed = 1; seed <= SEEDS; seed++) {
    await life(seed).catch((error) => {
      error.message = `seed ${seed}: ${error.message}`;
      throw error;
    });
  }
});
