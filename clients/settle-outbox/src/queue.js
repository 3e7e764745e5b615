// What is kept of an outbox, and in which space of the store:
//
// | space | key | value |
// |---|---|---|
// | `pending` | id of the first transaction | `{ group, bytes, transactions: [{ id, text }] }`; what is a group is sent by itself, as all in one |
// | `sent` | the same | when it was first sent: there may be an outcome that we do not know |
// | `outcomes` | id of a transaction | `{ outcome, text }`, the text where it may be sent again |
// | `unreported` | the same | 1 until the application was told |
// | `merge` | id of a document | 1 until the PouchDB has it |
// | `meta` | `client`, `since`, `stopped` | the name, what was seen of the database, the refusal behind which nothing is sent |
const PAGE = 200;

export class Queue {
  #store;
  #rememberedMs;

  constructor(store, rememberedMs) {
    this.#store = store;
    this.#rememberedMs = rememberedMs;
  }

  /** Keeps transactions, each by itself or all as a group. */
  add(transactions, group) {
    const records = group ? [record(transactions, true)] : transactions.map((one) => record([one], false));
    return this.#store.write({ put: records.map((it) => ['pending', key(it), it]) });
  }

  async meta() {
    const of = (name) => this.#store.get('meta', name);
    return { client: await of('client'), since: await of('since'), stopped: await of('stopped') };
  }

  /** All that is pending, in order. */
  async *pending() {
    for (let after; ;) {
      const page = await this.#store.read('pending', { after, limit: PAGE });
      for (const [, it] of page) yield it;
      if (page.length < PAGE) return;
      after = page.at(-1)[0];
    }
  }

  /**
   * What is to be sent next: `{ records, mode, transactions }`. `isLater` says of a key that it is not its time yet.
   * Without a batch, `waits` says whether there will be one when it is.
   */
  async batch({ countMax, bytesMax, mode }, isLater) {
    const records = [];
    let [count, bytes, waits] = [0, 0, false];
    for await (const it of this.pending()) {
      if (isLater(key(it))) {
        waits = true;
        if (mode === 'stop') break; // nothing overtakes
        continue;
      }
      count += it.transactions.length;
      bytes += it.bytes;
      const isFull = count > countMax || bytes > bytesMax || it.group || records[0]?.group;
      if (records.length > 0 && isFull) break;
      records.push(it);
    }
    if (records.length === 0) return { batch: null, waits };
    if (mode === 'all_in_one') return { batch: batchOf([await this.#join(records)], mode), waits };
    return { batch: batchOf(records, records[0].group ? 'all_in_one' : mode), waits };
  }

  /** What is sent as all in one stays so: whoever asks again asks the same. */
  async #join(records) {
    if (records[0].group) return records[0];
    const joined = record(records.flatMap(({ transactions }) => transactions), true);
    const remove = records.slice(1).map((it) => ['pending', key(it)]);
    await this.#store.write({ put: [['pending', key(joined), joined]], remove });
    return joined;
  }

  /**
   * Notes that they are sent now, unless they were before. Gives those that were sent so long ago that the server may
   * have forgotten: to send them again might do again what was done.
   */
  async send({ records }, now) {
    const sent = new Map(await this.#store.read('sent'));
    const forgotten = records.filter((it) => now - (sent.get(key(it)) ?? now) > this.#rememberedMs);
    if (forgotten.length > 0) return forgotten;
    const first = records.filter((it) => !sent.has(key(it)));
    if (first.length > 0) await this.#store.write({ put: first.map((it) => ['sent', key(it), now]) });
    return [];
  }

  /** Records, in one write, what `resolve` made of an answer, and what was seen. */
  async settle({ decided = [], unsent = [] }, { since, merge = [], stopped } = {}) {
    const put = [], remove = [];
    for (const { record: it, outcomes } of decided) {
      remove.push(['pending', key(it)], ['sent', key(it)]);
      it.transactions.forEach(({ id, text }, at) => {
        const outcome = outcomes[at];
        put.push(['outcomes', id, outcome.retry ? { outcome, text } : { outcome }], ['unreported', id, 1]);
      });
    }
    for (const it of unsent) remove.push(['sent', key(it)]);
    for (const id of merge) put.push(['merge', id, 1]);
    if (since !== undefined) put.push(['meta', 'since', since]);
    if (stopped !== undefined) put.push(['meta', 'stopped', stopped]);
    await this.#store.write({ put, remove });
  }

  /** Takes what is pending out of the queue, the whole group. Says whether it was sent; undefined where it is not there. */
  async drop(id) {
    const it = await this.find(id);
    if (!it) return undefined;
    const sent = (await this.#store.get('sent', key(it))) !== undefined;
    await this.#store.write({ remove: [['pending', key(it)], ['sent', key(it)]] });
    return { ids: it.transactions.map((one) => one.id), sent };
  }

  async find(id) {
    for await (const it of this.pending()) if (it.transactions.some((one) => one.id === id)) return it;
    return undefined;
  }

  /** Makes decided transactions that may be sent again pending, as a group where they are several. */
  async retry(ids) {
    const kept = await Promise.all(ids.map((id) => this.#store.get('outcomes', id)));
    const at = kept.findIndex((it) => it?.text === undefined);
    if (at >= 0) throw new Error(`${ids[at]} cannot be sent again: it is decided, or not here`);
    const it = record(ids.map((id, place) => ({ id, text: kept[place].text })), ids.length > 1);
    const remove = ids.flatMap((id) => [['outcomes', id], ['unreported', id]]);
    await this.#store.write({ put: [['pending', key(it), it]], remove });
  }
}

export function key({ transactions }) {
  return transactions[0].id;
}

function record(transactions, group) {
  const bytes = transactions.reduce((sum, { text }) => sum + new TextEncoder().encode(text).length, 0);
  return { group, bytes, transactions };
}

function batchOf(records, mode) {
  return { records, mode, transactions: records.flatMap(({ transactions }) => transactions) };
}

const NO_ROOM = 'insufficient_storage';

/**
 * What the outcomes of a batch decide: `{ decided: [{ record, outcomes }], later, full, noRoom, unsent, refused }`. What is
 * for `later` the server could not decide, nor what is `full`, since there was no room, as `noRoom` says; `unsent` is nothing
 * that it knows; `refused` is the first outcome that is a refusal.
 *
 * Of a group, a refusal decides all: the others were not made, and without that one they are not what was meant.
 */
export function resolve({ records }, outcomes) {
  const result = { decided: [], later: [], full: [], unsent: [], undecided: [], noRoom: undefined, refused: undefined };
  let at = 0;
  for (const record of records) {
    const own = outcomes.slice(at, (at += record.transactions.length));
    const isOver = own.every(({ retry }) => !retry) || (record.group && own.some((it) => !it.accepted && !it.retry));
    if (isOver) {
      result.decided.push({ record, outcomes: own });
      result.refused ??= own.find((it) => !it.accepted && !it.retry);
      continue;
    }
    result.unsent.push(record);
    const undecided = own.filter(({ reason }) => reason === 'undecided');
    const full = undecided.find(({ detail }) => detail?.error === NO_ROOM);
    if (full) {
      result.full.push(record);
      result.noRoom = { error: NO_ROOM, reason: full.detail.problem };
    } else if (undecided.length > 0 || record.group) {
      result.later.push(record); // what was not attempted waits for those before it
    }
    result.undecided.push(...undecided);
  }
  return result;
}

/** Of what a 507 was said of, the outcomes that the server would have given it, had it looked at each transaction. */
export function withoutRoom({ transactions }, { reason }) {
  const outcome = { accepted: false, reason: 'undecided', detail: { error: NO_ROOM, problem: reason }, retry: true };
  return transactions.map(({ id }) => ({ id, ...outcome }));
}

/**
 * The outcomes of a record that did not get as far as to be decided: each has the error. Where one of a group is to
 * `blame`, the others can go without it.
 */
export function failed(record, error, { blamed, accepted = false } = {}) {
  const outcomes = record.transactions.map(({ id }) => {
    if (blamed !== undefined && blamed !== id) return { id, accepted: false, reason: 'aborted', retry: true };
    return { id, accepted, error };
  });
  return { record, outcomes };
}
