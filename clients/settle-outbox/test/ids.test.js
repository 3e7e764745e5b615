import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Ids } from '../src/ids.js';

test('ids are in the order in which they were made, whatever the clock does', () => {
  const ids = new Ids();
  const made = [5, 5, 7, 6, 2 ** 41, 0].map((now) => ids.next(now));
  assert.deepEqual([...made].sort(), made);
  assert.equal(new Set(made).size, made.length);
  assert.ok(made.every((id) => /^[0-9A-HJKMNP-TV-Z]{26}$/.test(id)));
  assert.equal(new Ids().next(1_469_918_176_385).slice(0, 10), '01ARYZ6S41');
});

test('ids go on behind those of an earlier session', () => {
  const ids = new Ids();
  const last = '0000000005ZZZZZZZZZZZZZZZZ';
  ids.after(last);
  ids.after('0000000004ZZZZZZZZZZZZZZZZ');
  ids.after('no id');
  const next = ids.next(3);
  assert.ok(next > last && next.startsWith('0000000006'), next);
});
