// Made-up invoices, the changes that a year brings, and what is due of them, computed from scratch.

export const CODES = ['4400', '4410', '4711', '4980', '6815'];

/** Mulberry32: a sequence that a seed decides, so that a run can be repeated. */
export function randomOf(seed) {
  let state = seed >>> 0;
  const next = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return (mixed ^ (mixed >>> 14)) >>> 0;
  };
  const below = (bound) => next() % bound;
  return { below, from: (list) => list[below(list.length)] };
}

/** Splits an amount over one to four codes. */
function split(random, amount) {
  const allocations = [];
  for (let rest = amount; rest > 0;) {
    const last = allocations.length === 3;
    const part = last ? rest : Math.min(rest, 1 + random.below(amount));
    allocations.push({ code: random.from(CODES), amount: part });
    rest -= part;
  }
  return allocations;
}

export function lines(random) {
  return Array.from({ length: 1 + random.below(4) }, (_, at) => {
    const amount = 1 + random.below(random.below(10) === 0 ? 500_000 : 20_000);
    return { text: `item ${at + 1}`, amount, allocations: split(random, amount) };
  });
}

export function invoice(random, at) {
  const number = `R-${String(at).padStart(5, '0')}`;
  const date = `2026-${String(1 + random.below(12)).padStart(2, '0')}-${String(1 + random.below(28)).padStart(2, '0')}`;
  return {
    _id: number, type: 'invoice', number, customer: `customer ${random.below(40)}`, date,
    lines: lines(random), payments: [],
  };
}

const sum = (list) => list.reduce((total, { amount }) => total + amount, 0);

/** What is due of one invoice. */
export const balance = (doc) => Math.max(0, sum(doc.lines) - sum(doc.payments));

/** A payment of some or all of what is due. */
export function pay(random, doc) {
  const due = balance(doc);
  if (due === 0) return doc;
  const amount = random.below(3) === 0 ? due : 1 + random.below(due);
  return { ...doc, payments: [...doc.payments, { date: doc.date, amount }] };
}

/** Other lines, which are about at least as much as was paid. */
export function rewrite(random, doc) {
  const paid = sum(doc.payments);
  const changed = { ...doc, lines: lines(random) };
  if (sum(changed.lines) < paid) {
    changed.lines.push({ text: 'the rest', amount: paid, allocations: split(random, paid) });
  }
  return changed;
}

/** What is due by code. An allocation is settled as far as what was paid reaches beyond all before it. */
export function dueByCode(docs) {
  const due = new Map();
  for (const doc of docs.filter(({ type }) => type === 'invoice')) {
    const paid = sum(doc.payments);
    let before = 0;
    for (const { code, amount } of doc.lines.flatMap((line) => line.allocations)) {
      const settled = Math.min(amount, Math.max(0, paid - before));
      before += amount;
      if (settled < amount) due.set(code, (due.get(code) ?? 0) + amount - settled);
    }
  }
  return Object.fromEntries([...due].sort());
}
