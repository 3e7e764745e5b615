import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MemoryStore, Outbox, OutboxError } from '../index.js';
import { accepted, fake, ids, lost, outbox, write, yes } from './fake.js';

/** What an event brought, as often as it came. */
function heard(box, event) {
  const all = [];
  box.on(event, (value) => void all.push(value));
  return all;
}

const add = async (box, count) => Promise.all(Array.from({ length: count }, (_, n) => box.add(write(n))));

test('what is gathered is sent in order, in batches of the size that was said', async () => {
  const server = fake(yes);
  const box = await outbox(server, { paused: true, batchCountMax: 4 });
  const added = await add(box, 10);
  assert.deepEqual(await box.pending(), added.map(({ id }) => id));
  assert.equal(server.exchanges.length, 0);
  await box.resume();
  await box.sync();
  assert.deepEqual(server.exchanges.map((it) => it.transactions.length), [4, 4, 2]);
  assert.deepEqual(server.exchanges.flatMap(ids), added.map(({ id }) => id).sort());
  assert.deepEqual(await Promise.all(added.map(({ outcome }) => outcome)), added.map(accepted));
  const [{ url, headers, client, mode }] = server.exchanges;
  assert.deepEqual([url, mode, headers.authorization], ['http://host/shop/_transact', 'go_on', `Basic ${Buffer.from('ada:paß').toString('base64')}`]);
  assert.match(client, /^[0-9A-Z]{26}$/);
  await box.close();
});

test('a batch has no more bytes than was said, but one transaction at least', async () => {
  const server = fake(yes);
  const box = await outbox(server, { paused: true, batchBytesMax: 300 });
  const text = 'x'.repeat(100);
  for (const size of [1, 1, 5, 1]) await box.add({ writes: [{ id: 'a', put: { text: text.repeat(size) } }] });
  await box.resume();
  await box.sync();
  assert.deepEqual(server.exchanges.map((it) => it.transactions.length), [1, 1, 1, 1]);
  await box.close();
});

test('what was not answered is sent again, word for word, until it is', async () => {
  const failures = [lost(), '{"seq":"1-t","transac', [503, { error: 'service unavailable', reason: 'busy' }], [500, null], [429, {}, { 'retry-after': '0' }]];
  const server = fake((exchange, at) => failures[at] ?? yes(exchange));
  const box = await outbox(server);
  const waits = heard(box, 'waiting');
  const { id, outcome } = await box.add({ require: [{ id: 'a', match: { z: 1, a: { $gte: 2 } } }], ...write(1) });
  assert.deepEqual(await outcome, { id, accepted: true, revs: {} });
  assert.deepEqual(waits.map(({ error }) => error.error), ['no_answer', 'no_answer', 'service unavailable', 'unknown', 'unknown']);
  assert.equal(new Set(server.texts).size, 1);
  assert.match(server.texts[0], /"require":\[\{"id":"a","match":\{"z":1,"a":\{"\$gte":2\}\}\}\],"writes"/);
  await box.close();
});

test('Retry-After is heeded', async () => {
  const server = fake((exchange, at) => (at === 0 ? [503, {}, { 'retry-after': '1' }] : yes(exchange)));
  const box = await outbox(server);
  const begun = Date.now();
  await (await box.add(write(1))).outcome;
  assert.ok(Date.now() - begun >= 990);
  await box.close();
});

test('a request without an answer ends in time', async () => {
  let hung = 0;
  const fetch = (url, { signal }) => new Promise((resolve, reject) => {
    hung += 1;
    signal.addEventListener('abort', () => reject(signal.reason));
  });
  const box = await outbox({ fetch }, { timeoutMs: 20 });
  await box.add(write(1));
  const waits = heard(box, 'waiting');
  while (hung < 3) await new Promise((done) => setTimeout(done, 5));
  assert.equal(waits[0].error.reason, 'no answer in time');
  await box.close();
});

test('less is sent at once after 413, and what is too large alone has an error', async () => {
  const server = fake((exchange) => {
    const isTooLarge = exchange.transactions.length > 2 || JSON.stringify(exchange).includes('huge');
    return isTooLarge ? [413, { error: 'too_large', reason: 'the body is too large' }] : yes(exchange);
  });
  const box = await outbox(server, { paused: true });
  const added = await add(box, 9);
  const large = await box.add({ writes: [{ id: 'huge', put: {} }] });
  await box.resume();
  await box.sync();
  assert.deepEqual(await large.outcome, { id: large.id, accepted: false, error: { status: 413, error: 'too_large', reason: 'the body is too large' } });
  assert.ok((await Promise.all(added.map(({ outcome }) => outcome))).every((it) => it.accepted));
  await box.close();
});

test('a transaction that cannot be understood has an error, and the others are sent', async () => {
  for (const named of [true, false]) {
    const server = fake((exchange) => {
      const at = exchange.transactions.findIndex(({ putt }) => putt);
      return at < 0 ? yes(exchange) : [400, { error: 'bad_request', reason: `${named ? `transaction ${at}: ` : ''}\`putt\` means nothing` }];
    });
    const box = await outbox(server, { paused: true });
    const before = await add(box, 3);
    const wrong = await box.add({ putt: 1 });
    const after = await add(box, 3);
    await box.resume();
    await box.sync();
    assert.equal((await wrong.outcome).error.status, 400);
    assert.ok((await Promise.all([...before, ...after].map(({ outcome }) => outcome))).every((it) => it.accepted), `${named}`);
    await box.close();
  }
});

test('an id that was used has an error, and the others are sent', async () => {
  let used;
  const server = fake((exchange) => (ids(exchange).includes(used)
    ? [422, { error: 'id_reused', reason: `the id "${used}" was used for another transaction` }] : yes(exchange)));
  const box = await outbox(server, { paused: true });
  const added = await add(box, 3);
  used = added[1].id;
  await box.resume();
  await box.sync();
  const outcomes = await Promise.all(added.map(({ outcome }) => outcome));
  assert.deepEqual(outcomes.map(({ accepted: it, error }) => [it, error?.error]), [[true, undefined], [false, 'id_reused'], [true, undefined]]);
  assert.equal(server.exchanges.length, 2);
  await box.close();
});

test('an exchange that is wrong in itself loses nothing', async () => {
  const isWrong = ({ client, since }) => client === 'wrong' || since === 'wrong';
  const server = fake((exchange) => (isWrong(exchange) ? [400, { error: 'bad_request', reason: 'wrong' }] : yes(exchange)));
  for (const options of [{ client: 'wrong' }, { follow: true, since: 'wrong' }]) {
    const box = await outbox(server, { ...options, paused: true });
    const added = await add(box, 3);
    await box.resume();
    await assert.rejects(box.sync(), { name: 'OutboxError', status: 400 });
    assert.equal(box.status.state, 'paused');
    assert.deepEqual(await box.pending(), added.map(({ id }) => id));
    await box.close();
  }
});

test('who may not is told, and goes on when somebody has signed in', async () => {
  for (const [status, error] of [[401, 'unauthorized'], [403, 'forbidden'], [404, 'not_found']]) {
    let token;
    const server = fake((exchange, at) => (server.exchanges[at].headers.authorization === 'Bearer good' ? yes(exchange) : [status, { error, reason: 'no' }]));
    const box = await outbox(server, { headers: async () => ({ authorization: `Bearer ${token}` }) });
    const pauses = heard(box, 'paused');
    const { outcome } = await box.add(write(1));
    await assert.rejects(box.sync(), { status });
    assert.deepEqual([pauses.length, box.status.state, server.exchanges.length], [1, 'paused', 1]);
    token = 'good';
    await box.resume();
    assert.equal((await outcome).accepted, true);
    await box.close();
  }
});

test('in the mode stop nothing behind a refusal is sent until the application says so', async () => {
  const store = new MemoryStore();
  let refused;
  const server = fake((exchange) => {
    const at = ids(exchange).indexOf(refused);
    const outcome = (it, place) => {
      if (at < 0 || place < at) return accepted(it);
      return { id: it.id, accepted: false, ...(place === at ? { reason: 'missing' } : { reason: 'not_attempted', retry: true }) };
    };
    return [200, { seq: '1-t', transactions: exchange.transactions.map(outcome) }];
  });
  let box = await outbox(server, { store, mode: 'stop', paused: true });
  const added = await add(box, 5);
  refused = added[2].id;
  const stops = heard(box, 'stopped');
  await box.resume();
  await assert.rejects(box.sync(), { error: 'stopped' });
  assert.deepEqual(stops.map(({ id }) => id), [refused]);
  assert.equal((await added[2].outcome).reason, 'missing');
  await box.close();
  // It stays so when the program is started again.
  box = await outbox(server, { store, mode: 'stop' });
  const again = heard(box, 'stopped');
  await assert.rejects(box.sync(), { error: 'stopped' });
  assert.deepEqual([server.exchanges.length, again.length, again[0].reason, box.status.state], [1, 1, 'missing', 'stopped']);
  assert.deepEqual(await box.drop(added[3].id), { ids: [added[3].id], sent: false });
  await box.resume();
  await box.sync();
  assert.deepEqual(ids(server.exchanges[1]), [added[4].id]);
  await box.close();
});

test('in the mode stop those before one that is not understood have their turn first', async () => {
  const server = fake((exchange) => {
    const at = exchange.transactions.findIndex(({ putt }) => putt);
    return at < 0 ? yes(exchange) : [400, { error: 'bad_request', reason: `transaction ${at}: \`putt\` means nothing` }];
  });
  const box = await outbox(server, { mode: 'stop', paused: true });
  const [first] = await add(box, 1);
  const wrong = await box.add({ putt: 1 });
  const [last] = await add(box, 1);
  await box.resume();
  await assert.rejects(box.sync(), { error: 'stopped' });
  assert.equal((await first.outcome).accepted, true);
  assert.equal((await wrong.outcome).error.status, 400);
  assert.deepEqual(await box.pending(), [last.id]);
  await box.close();
});

test('what could not be decided is sent again, and holds up nothing but in the mode stop', async () => {
  for (const mode of ['go_on', 'stop']) {
    let times = 0;
    const server = fake((exchange) => {
      const undecided = exchange.transactions.findIndex(({ n }) => n === 1 && times++ < 3);
      const outcome = (it, at) => {
        if (at === undecided) return { id: it.id, accepted: false, reason: 'undecided', detail: {}, retry: true };
        return mode === 'stop' && undecided >= 0 && at > undecided ? { id: it.id, accepted: false, reason: 'not_attempted', retry: true } : accepted(it);
      };
      return [200, { seq: '1-t', transactions: exchange.transactions.map(outcome) }];
    });
    const box = await outbox(server, { mode, paused: true });
    const told = heard(box, 'undecided'), order = heard(box, 'outcome');
    const added = [await box.add({ n: 1 }), await box.add({ n: 2 })];
    await box.resume();
    await box.sync();
    const [one, two] = added.map(({ id }) => id);
    assert.deepEqual(told.map(({ id }) => id), [one, one, one]);
    while (order.length < 2) await new Promise((done) => setTimeout(done, 1));
    assert.deepEqual(order.map(({ id }) => id), mode === 'stop' ? [one, two] : [two, one]);
    await box.close();
  }
});

const noRoom = { error: 'insufficient_storage', problem: 'the account keeps 10 bytes, and may keep 10' };

/**
 * A server whose account is full until `room` is set: only what deletes is taken. It says so of the exchange, or of `each`
 * transaction.
 */
function full(each = false) {
  const state = { room: false, done: [] };
  const server = fake(({ mode, transactions }) => {
    const hasRoom = transactions.map(({ writes }) => state.room || writes.every((it) => it.delete));
    const first = hasRoom.indexOf(false), isWhole = mode === 'all_in_one';
    if (first >= 0 && !each) return [507, { error: noRoom.error, reason: noRoom.problem }];
    const outcomes = transactions.map((it, at) => {
      const refused = (reason) => ({ id: it.id, accepted: false, reason, retry: true });
      if (first >= 0 && mode === 'stop' && at > first) return refused('not_attempted');
      if (first >= 0 && isWhole && at !== first) return refused('aborted');
      if (!hasRoom[at]) return { ...refused('undecided'), detail: noRoom };
      state.done.push(it.id);
      return accepted(it);
    });
    return [200, { seq: '1-t', transactions: outcomes }];
  });
  return Object.assign(state, { server });
}

const remove = { writes: [{ id: 'a', delete: true }] };

const until = async (holds) => {
  while (!holds()) await new Promise((tick) => setTimeout(tick, 1));
};

test('what there is no room for is passed over, and made in order once there is', async () => {
  for (const each of [false, true]) {
    const account = full(each);
    const box = await outbox(account.server, { paused: true, backoffFirstMs: 30_000, backoffMaxMs: 60_000 });
    const told = heard(box, 'undecided');
    const added = [];
    for (const it of [remove, write(1), remove, remove, [write(2), remove], write(3), remove]) added.push(await box.add(it));
    const [one, group, three] = [added[1], added[4], added[5]];
    const waiting = [one, ...group, three].map(({ id }) => id);
    await box.resume();
    await Promise.all([0, 2, 3, 6].map((at) => added[at].outcome));
    assert.deepEqual(await box.pending(), waiting);
    const { state, error } = box.status;
    assert.deepEqual([state, error.error, error.reason], ['waiting', noRoom.error, noRoom.problem]);
    assert.deepEqual(told.map(({ id }) => id), each ? [one.id, group[0].id, three.id] : waiting);
    assert.deepEqual(told[0], { id: one.id, accepted: false, reason: 'undecided', detail: noRoom, retry: true });
    account.room = true;
    await box.sync();
    assert.deepEqual(account.done.slice(-4), waiting);
    assert.equal(box.status.state, 'idle');
    await box.close();
  }
});

test('what there is no room for is tried again all in turn, and less often the more requests that takes', async () => {
  for (const [count, waitMs] of [[5, 10], [180, 30]]) {
    const asked = [], times = [];
    const server = fake(({ transactions }) => {
      if (transactions.length === 1) asked.push(transactions[0].id) && times.push(performance.now());
      return [507, {}];
    });
    const box = await outbox(server, { paused: true, backoffFirstMs: 20, backoffMaxMs: 20 });
    const order = (await add(box, count)).map(({ id }) => id).sort();
    await box.resume();
    await until(() => asked.length >= 3 * count);
    await box.close();
    assert.deepEqual(asked.slice(0, 3 * count), [...order, ...order, ...order]);
    const waits = [1, 2].map((turn) => times[turn * count] - times[turn * count - 1]);
    assert.ok(waits.every((ms) => ms > waitMs - 2), `${waits}`);
  }
});

test('where a server says of each whether there is room, all that waits is tried again at once', async () => {
  const account = full(true);
  const box = await outbox(account.server, { paused: true });
  const order = (await add(box, 20)).map(({ id }) => id).sort();
  await box.resume();
  await until(() => account.server.exchanges.length >= 4);
  await box.close();
  for (const exchange of account.server.exchanges) assert.deepEqual(ids(exchange), order);
});

test('what has room only in parts is sent in parts', async () => {
  const server = fake((exchange) => (exchange.transactions.length > 2 ? [507, {}] : yes(exchange)));
  const box = await outbox(server, { paused: true });
  const added = await add(box, 8);
  await box.resume();
  await box.sync();
  assert.deepEqual(server.exchanges.flatMap((it) => (it.transactions.length > 2 ? [] : ids(it))), added.map(({ id }) => id).sort());
  await box.close();
});

test('who says when to ask again is believed when there is no room, too', async () => {
  const server = fake((exchange, at) => (at === 0 ? [507, {}, { 'retry-after': '1' }] : yes(exchange)));
  const box = await outbox(server, { paused: true });
  await add(box, 2);
  const waits = heard(box, 'waiting');
  await box.resume();
  await box.sync();
  assert.deepEqual(server.exchanges.map(({ transactions }) => transactions.length), [2, 2]);
  assert.equal(waits[0].ms, 1000);
  await box.close();
});

test('in the mode stop what there is no room for holds what is behind it, until it is dropped', async () => {
  for (const each of [false, true]) {
    const account = full(each);
    const box = await outbox(account.server, { mode: 'stop', paused: true, backoffFirstMs: 30_000, backoffMaxMs: 60_000 });
    const told = heard(box, 'undecided');
    const added = [await box.add(remove), await box.add(write(1)), await box.add(remove)];
    await box.resume();
    await until(() => box.status.state === 'waiting');
    assert.deepEqual(account.done, [added[0].id]);
    assert.deepEqual([told.map(({ id }) => id), box.status.error.error], [[added[1].id], 'insufficient_storage']);
    await box.drop(added[1].id);
    assert.equal((await added[2].outcome).accepted, true);
    await box.sync();
    await box.close();
  }
});

test('in the mode all_in_one what there is no room for waits whole', async () => {
  for (const each of [false, true]) {
    const account = full(each);
    const box = await outbox(account.server, { mode: 'all_in_one', paused: true, backoffFirstMs: 30_000, backoffMaxMs: 60_000 });
    const together = [await box.add(remove), await box.add(write(1))];
    await box.resume();
    await until(() => box.status.state === 'waiting');
    const later = await box.add(remove);
    await later.outcome;
    assert.deepEqual(account.done, [later.id]);
    account.room = true;
    await box.sync();
    assert.deepEqual(account.done.slice(1), together.map(({ id }) => id));
    await box.close();
  }
});

test('what another one had room for is waited for no more', async () => {
  const account = full(), store = new MemoryStore(), options = { store, backoffFirstMs: 30_000, backoffMaxMs: 60_000 };
  const one = await outbox(account.server, options);
  const { outcome } = await one.add(write(1));
  await until(() => one.status.state === 'waiting');
  account.room = true;
  const two = await outbox(account.server, options);
  await outcome;
  await until(() => one.status.state === 'idle');
  await one.close();
  await two.close();
});

test('changes of others come though there is no room', async () => {
  const server = fake((exchange) => {
    if (exchange.transactions.length > 0) return [507, {}];
    return [200, { seq: '1-t', transactions: [], changes: { results: [{ id: 'b', changes: [] }], last_seq: '1-t', pending: 0 } }];
  });
  const box = await outbox(server, { follow: true });
  const seen = heard(box, 'changes');
  await box.add(write(1));
  await until(() => seen.length > 0);
  await box.close();
});

test('a group is an exchange of its own, and all or nothing of it is made', async () => {
  const verdicts = [[{ accepted: true }, { accepted: true }], [{ reason: 'aborted', retry: true }, { reason: 'missing' }], [{ accepted: true }]];
  let at = 0;
  const server = fake((exchange) => {
    if (exchange.mode !== 'all_in_one') return yes(exchange);
    const verdict = verdicts[at++];
    return [200, { seq: '1-t', transactions: exchange.transactions.map(({ id }, place) => ({ id, accepted: false, ...verdict[place] })) }];
  });
  const box = await outbox(server, { paused: true, batchCountMax: 1 });
  await box.add(write(0));
  const first = await box.add([write(1), write(2)]), second = await box.add([write(3), write(4)]);
  await box.add(write(5));
  await box.resume();
  await box.sync();
  assert.deepEqual(server.exchanges.map((it) => [it.mode, it.transactions.length]), [['go_on', 1], ['all_in_one', 2], ['all_in_one', 2], ['go_on', 1]]);
  assert.ok((await Promise.all(first.map(({ outcome }) => outcome))).every((it) => it.accepted));
  assert.deepEqual(await Promise.all(second.map(({ outcome }) => outcome)), [
    { id: second[0].id, accepted: false, reason: 'aborted', retry: true }, { id: second[1].id, accepted: false, reason: 'missing' },
  ]);
  // Without the one that was refused it is another wish, which the application has to have.
  await assert.rejects(box.retry(second[1].id), /cannot be sent again/);
  await box.retry(second[0].id);
  await box.sync();
  assert.deepEqual(server.exchanges.at(-1).transactions.map(({ id }) => id), [second[0].id]);
  await box.close();
});

test('in the mode all_in_one what was sent together stays together', async () => {
  const server = fake((exchange, at) => (at === 0 ? lost() : yes(exchange)));
  const box = await outbox(server, { mode: 'all_in_one', paused: true });
  await add(box, 3);
  await box.resume();
  box.on('waiting', () => box.add(write(9)));
  await box.sync();
  await box.sync();
  assert.deepEqual(server.exchanges.map((it) => [it.mode, it.transactions.length]), [['all_in_one', 3], ['all_in_one', 3], ['all_in_one', 1]]);
  await box.close();
});

test('calls of transaction functions are sent, and their results come back', async () => {
  const server = fake(({ transactions }) => [200, { seq: '1-t', transactions: transactions.map(({ id, call }) => ({ id, accepted: true, revs: {}, result: call.args.a + 1 })) }]);
  const box = await outbox(server);
  const { outcome } = await box.add({ call: { function: 'shop/sell', args: { a: 1 } } });
  assert.equal((await outcome).result, 2);
  await box.close();
});

test('each outcome is reported once, also after the program was started again', async () => {
  const store = new MemoryStore();
  const server = fake(yes);
  let box = await outbox(server, { store });
  const added = await add(box, 120);
  await box.sync();
  await box.close();
  const told = [];
  for (let session = 0; session < 4; session++) {
    box = await outbox(server, { store });
    let heardNow = 0;
    await new Promise((done) => {
      box.on('outcome', async ({ id }) => {
        await null;
        told.push(id);
        if (++heardNow === 37) done();
      });
      if (session === 3) setTimeout(done, 20);
    });
    await box.close();
  }
  assert.deepEqual(told, added.map(({ id }) => id));
  box = await outbox(server, { store });
  assert.equal((await box.outcomes()).length, 120);
  assert.equal((await box.outcome(added[0].id)).accepted, true);
  await box.forget(...told);
  assert.deepEqual(await box.outcomes(), []);
  await assert.rejects(box.outcome(added[0].id), /neither pending nor kept/);
  await box.close();
});

test('a handler that fails is told again', async () => {
  const box = await outbox(fake(yes));
  let times = 0;
  const problems = heard(box, 'problem'), told = [];
  box.on('outcome', ({ id }) => {
    if (times++ === 0) throw new Error('no');
    told.push(id);
  });
  const first = await box.add(write(1));
  await box.sync();
  while (problems.length === 0) await new Promise((done) => setTimeout(done, 1));
  const second = await box.add(write(2));
  await box.sync();
  while (told.length < 2) await new Promise((done) => setTimeout(done, 1));
  assert.deepEqual(told, [first.id, second.id]);
  await box.close();
});

test('what was sent and not answered for longer than the server remembers is not sent again', async () => {
  const store = new MemoryStore();
  let box = await outbox(fake(() => lost()), { store });
  const { id } = await box.add(write(1));
  await new Promise((done) => box.on('waiting', done));
  await box.close();
  await new Promise((done) => setTimeout(done, 10));
  const server = fake(yes);
  box = await outbox(server, { store, rememberedMs: 5 });
  const outcome = await box.outcome(id);
  assert.deepEqual([outcome.accepted, outcome.error.error, server.exchanges.length], [null, 'unanswered', 0]);
  await box.close();
});

test('two that share a store send nothing at the same time, and each hears of its own', async () => {
  const store = new MemoryStore();
  let open = 0, together = 0;
  const server = fake(async (exchange) => {
    together = Math.max(together, ++open);
    await new Promise((done) => setTimeout(done, 5));
    open -= 1;
    return yes(exchange);
  });
  const [one, two] = [await outbox(server, { store }), await outbox(server, { store })];
  const told = [heard(one, 'outcome'), heard(two, 'outcome')];
  const added = (await Promise.all([add(one, 5), add(two, 5)])).flat();
  await Promise.all(added.map(({ outcome }) => outcome));
  await Promise.all([one.sync(), two.sync()]);
  assert.equal(together, 1);
  assert.equal(new Set(server.exchanges.flatMap(ids)).size, server.exchanges.flatMap(ids).length);
  assert.equal(new Set(server.exchanges.map(({ client }) => client)).size, 1);
  while (told.flat().length < 10) await new Promise((done) => setTimeout(done, 1));
  assert.equal(new Set(told.flat().map(({ id }) => id)).size, 10);
  await one.close();
  await two.close();
});

test('what one added and did not send, because it was closed, another one sends', async () => {
  const store = new MemoryStore(), server = fake(yes);
  const [one, two] = [await outbox(server, { store, paused: true }), await outbox(server, { store })];
  await two.sync();
  const idle = new Promise((done) => two.on('outcome', done));
  const { id } = await one.add(write(1));
  await one.close();
  assert.equal((await idle).id, id);
  await two.close();
});

test('changes of others are followed to their end, and what was seen is kept', async () => {
  const store = new MemoryStore();
  const rows = (from, to) => Array.from({ length: to - from }, (_, at) => ({ seq: `${from + at + 1}-t`, id: `d${from + at}`, changes: [] }));
  const server = fake((exchange) => {
    const since = parseInt(exchange.since, 10), last = Math.min(5, since + exchange.changes_limit);
    const [, reply] = yes(exchange);
    return [200, { ...reply, changes: { results: rows(since, last), last_seq: `${last}-t`, pending: 5 - last } }];
  });
  let box = await outbox(server, { store, follow: true, changesLimit: 2, paused: true });
  const seen = heard(box, 'changes');
  await box.add(write(1));
  await box.resume();
  await box.sync();
  assert.deepEqual(seen.map((it) => it.length), [2, 2, 1]);
  assert.deepEqual(server.exchanges.map(({ since, transactions }) => [since, transactions.length]), [['0', 1], ['2-t', 0], ['4-t', 0]]);
  await box.close();
  box = await outbox(server, { store, follow: true });
  await box.sync();
  assert.equal(server.exchanges.at(-1).since, '5-t');
  await box.close();
});

test('changes that the application did not take come again', async () => {
  const server = fake((exchange) => {
    const [, reply] = yes(exchange);
    return [200, { ...reply, changes: { results: exchange.since === '0' ? [{ id: 'a', changes: [] }] : [], last_seq: '1-t', pending: 0 } }];
  });
  const box = await outbox(server, { follow: true, paused: true });
  heard(box, 'problem');
  let times = 0;
  box.on('changes', () => {
    if (times++ === 0) throw new Error('no');
  });
  await box.resume();
  await box.sync();
  await box.sync();
  assert.equal(times, 2);
  assert.deepEqual(server.exchanges.map(({ since }) => since), ['0', '0']);
  await box.close();
});

test('an outbox that was closed does nothing more', async () => {
  const box = await outbox(fake(() => lost()));
  const { outcome } = await box.add(write(1));
  await box.close();
  await assert.rejects(outcome, { name: 'OutboxError', error: 'closed' });
  await assert.rejects(box.add(write(2)), OutboxError);
  await assert.rejects(box.sync(), OutboxError);
  assert.equal(box.status.state, 'closed');
  await assert.rejects(Outbox.open('no url'), TypeError);
});

test('a store is of one client', async () => {
  const store = new MemoryStore();
  await (await outbox(fake(yes), { store, client: 'till-7' })).close();
  await assert.rejects(outbox(fake(yes), { store, client: 'till-8' }), /till-7, not till-8/);
});

test('of a group that cannot be understood, only what is wrong has the error', async () => {
  const server = fake((exchange) => {
    const at = exchange.transactions.findIndex(({ putt }) => putt);
    return at < 0 ? yes(exchange) : [400, { error: 'bad_request', reason: `transaction ${at}: \`putt\` means nothing` }];
  });
  const box = await outbox(server);
  const [good, wrong] = await box.add([write(1), { putt: 1 }]);
  assert.equal((await wrong.outcome).error.status, 400);
  assert.deepEqual(await good.outcome, { id: good.id, accepted: false, reason: 'aborted', retry: true });
  await box.close();
});

test('a group that is too large has an error, whole', async () => {
  const box = await outbox(fake(() => [413, { error: 'too_large', reason: 'more than 2000 writes' }]));
  const group = await box.add([write(1), write(2)]);
  const outcomes = await Promise.all(group.map(({ outcome }) => outcome));
  assert.deepEqual(outcomes.map(({ error }) => error.status), [413, 413]);
  await box.close();
});

test('what is dropped is not sent, and says whether it was', async () => {
  const server = fake(() => lost());
  const box = await outbox(server, { paused: true });
  const never = await box.add(write(1));
  assert.deepEqual(await box.drop(never.id), { ids: [never.id], sent: false });
  await assert.rejects(never.outcome, { error: 'dropped' });
  const sent = await box.add(write(2));
  await box.resume();
  await new Promise((done) => box.on('waiting', done));
  assert.deepEqual(await box.drop(sent.id), { ids: [sent.id], sent: true });
  assert.equal(await box.drop(sent.id), undefined);
  await box.sync();
  await box.close();
});

test('a long answer may take its time, as long as it comes', async () => {
  const fetch = async (url, { body }) => {
    const [, reply] = yes(JSON.parse(body));
    const bytes = new TextEncoder().encode(JSON.stringify(reply));
    let at = 0;
    const stream = new ReadableStream({
      async pull(controller) {
        await new Promise((done) => setTimeout(done, 8));
        if (at >= bytes.length) return controller.close();
        controller.enqueue(bytes.slice(at, (at += 10)));
      },
    });
    return new Response(stream);
  };
  const box = await outbox({ fetch }, { timeoutMs: 40 });
  const waits = heard(box, 'waiting');
  assert.equal((await (await box.add(write(1))).outcome).accepted, true);
  assert.deepEqual(waits, []);
  await box.close();
});
