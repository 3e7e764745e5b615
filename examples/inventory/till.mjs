// One till with one order. What it knows is in a file, so it can die at any moment and be started again.
//   node till.mjs URL FILE CUSTOMER WANT LEAST
// Prints the outcome as JSON. LEAST is how many will do; the same as WANT for all or nothing.
import { Outbox } from 'settle-outbox';
import { FileStore } from 'settle-outbox/file';

const [url, file, customer, want, least] = process.argv.slice(2);
const outbox = await Outbox.open(url, { store: await FileStore.open(file), backoffFirstMs: 50 });

/** The order of an earlier start, or a new one: the boxes and the order are one transaction. */
async function order() {
  const [pending] = await outbox.pending();
  if (pending) return pending;
  const [known] = await outbox.outcomes();
  if (known) return known.id;
  const take = { field: 'boxes', want: Number(want), least: Number(least) };
  const { id } = await outbox.add({
    require: [{ id: 'clips', match: { boxes: { $gte: Number(least) } } }],
    writes: [{ id: 'clips', ops: [{ take }] }, { id: `order-${customer}`, put: { customer, want: Number(want) } }],
  });
  return id;
}

console.log(JSON.stringify(await outbox.outcome(await order())));
await outbox.close();
