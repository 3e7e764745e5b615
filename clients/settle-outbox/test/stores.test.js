import assert from 'node:assert/strict';
import { access, appendFile, mkdir, mkdtemp, readFile, rm, rmdir, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { FileStore } from '../file.js';
import { MemoryStore } from '../index.js';
import { fake, ids, lost, outbox, write, yes } from './fake.js';

const folder = await mkdtemp(join(tmpdir(), 'outbox-'));
after(() => rm(folder, { recursive: true }));
let files = 0;
const path = () => join(folder, `${files++}.jsonl`);

test('what is kept is read in the order of keys, and in pages', async () => {
  for (const store of [new MemoryStore(), await FileStore.open(path())]) {
    await store.write({ put: [['a', '3', 'three'], ['a', '1', 'one'], ['b', '9', 9]] });
    await store.write({ put: [['a', '2', 'two'], ['a', '4', 'four']], remove: [['b', '9'], ['b', 'none']] });
    assert.deepEqual(await store.read('a', { limit: 2 }), [['1', 'one'], ['2', 'two']]);
    assert.deepEqual(await store.read('a', { after: '2' }), [['3', 'three'], ['4', 'four']]);
    assert.deepEqual([await store.get('a', '3'), await store.get('a', '5'), await store.read('b')], ['three', undefined, []]);
    await store.close();
  }
});

test('a file has what was written, and a line that was cut off never was', async () => {
  const file = path();
  let store = await FileStore.open(file);
  await Promise.all([1, 2, 3].map((n) => store.write({ put: [['a', `${n}`, n]] })));
  await store.close();
  await appendFile(file, '{"put":[["a","4"');
  store = await FileStore.open(file);
  assert.deepEqual(await store.read('a'), [['1', 1], ['2', 2], ['3', 3]]);
  await store.write({ remove: [['a', '1']] });
  await store.close();
  assert.equal((await readFile(file, 'utf8')).split('\n').length, 5);
  store = await FileStore.open(file);
  assert.deepEqual(await store.read('a'), [['2', 2], ['3', 3]]);
  await store.close();
  await assert.rejects(store.write({ put: [['a', '5', 5]] }), /is closed/);
});

test('a file that is damaged in the middle is not taken for less than it was', async () => {
  const file = path();
  await writeFile(file, '{"put":[["a","1",1]]}\n{"put":[[\n{"put":[["a","2",2]]}\n');
  await assert.rejects(FileStore.open(file), SyntaxError);
});

test('a file does not grow for ever', async () => {
  const file = path(), text = 'x'.repeat(10_000);
  const store = await FileStore.open(file);
  for (let n = 0; n < 250; n++) await store.write({ put: [['a', `${n % 3}`, text + n]] });
  await store.close();
  assert.ok((await stat(file)).size < 2 << 20);
  assert.deepEqual((await (await FileStore.open(file)).read('a')).map(([, it]) => it.slice(10_000)), ['249', '247', '248']);
});

test('what was added is kept, also where the file cannot be written anew, which is tried again later', async () => {
  const file = path(), server = fake(yes), text = 'x'.repeat(10_000);
  await mkdir(`${file}.new`); // in the way of what is written beside it
  let store = await FileStore.open(file);
  let box = await outbox(server, { store, paused: true });
  const added = [];
  while ((await stat(file)).size < 3 << 19) added.push((await box.add({ writes: [{ id: 'a', put: { text } }] })).id);
  assert.deepEqual(await box.pending(), added);
  await rmdir(`${file}.new`);
  for (let n = 0, before = 0, { size } = await stat(file); size >= before; n++) {
    assert.ok(n < 500, 'it is written anew');
    before = size;
    await store.write({ put: [['meta', 'filler', text + n]] });
    ({ size } = await stat(file));
  }
  await store.write({ put: [['meta', 'filler', 'last']] });
  await assert.rejects(access(`${file}.new`), { code: 'ENOENT' });
  await box.close();
  store = await FileStore.open(file);
  assert.equal(await store.get('meta', 'filler'), 'last');
  box = await outbox(server, { store });
  await box.sync();
  assert.deepEqual(server.exchanges.flatMap(ids), added);
  await box.close();
});

test('what was left of a file that was not written to its end does no harm', async () => {
  const file = path(), text = 'x'.repeat(10_000);
  await writeFile(`${file}.new`, `{"put":[["a","0","${'y'.repeat(200_000)}`);
  const store = await FileStore.open(file);
  for (let n = 0; n < 120; n++) await store.write({ put: [['a', '1', text + n]] });
  await store.close();
  assert.ok((await stat(file)).size < 1 << 20, 'it was written anew');
  assert.deepEqual(await (await FileStore.open(file)).read('a'), [['1', `${text}119`]]);
});

test('transactions outlive the process in a file, between sending and the answer too', async () => {
  const file = path();
  const first = fake(() => lost());
  let box = await outbox(first, { store: await FileStore.open(file) });
  const { id } = await box.add(write(1));
  await new Promise((done) => box.on('waiting', done));
  // No `close`: the process is gone.
  const second = fake(yes);
  const again = await outbox(second, { store: await FileStore.open(file) });
  assert.deepEqual(await again.outcome(id), { id, accepted: true, revs: {} });
  assert.equal(second.texts[0], first.texts[0]);
  await again.close();
  await box.close();
});
