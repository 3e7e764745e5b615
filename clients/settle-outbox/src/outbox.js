// The outbox: what an application calls, and the loop that sends.
//
// One round of the loop is one exchange, or one merge into the PouchDB. Rounds of all who share a store take turns.
import { Connection, NoAnswer } from './connection.js';
import { errorOf, exchangeText, isTemporary, judge } from './exchange.js';
import { Ids } from './ids.js';
import { merge } from './merge.js';
import { Queue, failed, key, resolve } from './queue.js';
import { Reporter } from './reporter.js';
import { IndexedDbStore } from './stores/indexeddb.js';
import { MemoryStore } from './stores/memory.js';

const DAY_MS = 86_400_000;
const DEFAULTS = {
  mode: 'go_on',
  batchCountMax: 500,
  batchBytesMax: 1 << 20,
  changesLimit: 1000,
  timeoutMs: 60_000,
  backoffFirstMs: 500,
  backoffMaxMs: 60_000,
  // A day less than the server does, unless it was told otherwise: clocks differ.
  rememberedMs: 29 * DAY_MS,
  credentials: 'include',
  includeDocs: false,
  paused: false,
};

/** Documents that are fetched for a PouchDB at once, and at most. */
const MERGE_COUNT_MAX = 100;

/** Why an outbox does not send: `status`, where the server said so, `error`, `reason`. */
export class OutboxError extends Error {
  constructor(details) {
    super(`${details.error}: ${details.reason}`);
    this.name = 'OutboxError';
    Object.assign(this, details);
  }
}

/** The server answered, and not with what was asked for. */
class Unanswered extends Error {
  constructor(details) {
    super(details.reason);
    this.details = details;
  }
}

const CLOSED = { error: 'closed', reason: 'the outbox was closed' };
const PAUSED = { error: 'paused', reason: 'the application paused the outbox' };

export class Outbox {
  #options;
  #store;
  #queue;
  #connection;
  #reporter;
  #ids = new Ids();
  #closing = new AbortController();
  #undo = [];
  /** Who waits for the outcome of an id. */
  #awaited = new Map();
  /** Who waits until there is nothing more to do. */
  #waiting = [];
  #paused = null;
  #stopped = null;
  #error = null;
  /** Whether to ask for changes though there is nothing to send. */
  #pull;
  #countMax;
  #bytesMax;
  #mergeCount = MERGE_COUNT_MAX;
  #attempts = 0;
  /** What could not be decided: until when it waits, and how often that was so. */
  #later = new Map();
  #running = null;
  /** There may be something new to do. */
  #again = false;
  /** Somebody asked, or the network came back: it does not wait for its next attempt. */
  #hurry = false;
  /** The server said when to ask again. */
  #notBefore = 0;
  #sleep = null;

  /** Opens the store, reports what has not been reported, and begins to send. */
  static async open(url, options = {}) {
    const all = { ...DEFAULTS, ...options };
    all.follow ??= Boolean(all.pouch);
    const connection = new Connection(url, all);
    const store = all.store ?? (await defaultStore(all.name ?? `settle-outbox ${connection.url}`));
    const outbox = new Outbox(connection, store, all);
    await outbox.#begin();
    return outbox;
  }

  constructor(connection, store, options) {
    this.#connection = connection;
    this.#store = store;
    this.#options = options;
    this.#queue = new Queue(store, options.rememberedMs);
    this.#reporter = new Reporter(store, this.#closing.signal);
    this.#pull = options.follow;
    this.#countMax = options.batchCountMax;
    this.#bytesMax = options.batchBytesMax;
    this.#paused = options.paused ? PAUSED : null;
  }

  async #begin() {
    await this.#store.exclusive('open', async () => {
      const kept = await this.#store.get('meta', 'client');
      if (this.#options.client !== undefined && kept !== undefined && kept !== this.#options.client) {
        throw new Error(`the store is of the client ${kept}, not ${this.#options.client}`);
      }
      if (kept === undefined) {
        await this.#store.write({ put: [['meta', 'client', this.#options.client ?? this.#ids.next()]] });
      }
    });
    for await (const { transactions } of this.#queue.pending()) transactions.forEach(({ id }) => this.#ids.after(id));
    const heard = (ids) => this.#heard(ids);
    this.#undo.push(this.#store.listen?.(heard));
    this.#tell = (ids) => this.#store.notify?.(ids, heard);
    if (globalThis.addEventListener && globalThis.navigator) {
      const online = () => this.#wake(true);
      addEventListener('online', online);
      this.#undo.push(() => removeEventListener('online', online));
    }
    this.#wake();
  }

  #tell = () => {};

  /**
   * Keeps a transaction, `{ require, writes }` or `{ require, call }`, and sends it when it can. Resolves when it is
   * kept, with its id and a promise of its outcome. A list is a group, all or nothing of which is made: an exchange of its
   * own, and a list comes back.
   */
  async add(transaction) {
    this.#mustBeOpen();
    const group = Array.isArray(transaction);
    const list = (group ? transaction : [transaction]).map((it) => {
      const id = this.#ids.next();
      return { id, text: JSON.stringify({ ...it, id }) };
    });
    if (list.length === 0) return [];
    // Before it is kept: another page may send it at once.
    const added = list.map(({ id }) => ({ id, outcome: this.#await(id) }));
    try {
      await this.#queue.add(list, group);
    } catch (error) {
      list.forEach(({ id }) => this.#awaited.delete(id));
      throw error;
    }
    this.#wake();
    return group ? added : added[0];
  }

  /** The outcome of a transaction, also of an earlier session, as soon as there is one. */
  async outcome(id) {
    this.#mustBeOpen();
    const promise = this.#await(id);
    const kept = await this.#store.get('outcomes', id);
    if (kept) this.#settle(id, kept.outcome);
    else if (!(await this.#queue.find(id)) && this.#awaited.has(id)) {
      // It may have been decided between the two questions.
      const late = await this.#store.get('outcomes', id);
      if (!late) {
        this.#awaited.delete(id);
        throw new Error(`${id} is neither pending nor kept`);
      }
      this.#settle(id, late.outcome);
    }
    return promise;
  }

  /** The outcomes that are kept, in the order in which transactions were added. */
  async outcomes() {
    return (await this.#store.read('outcomes')).map(([, { outcome }]) => outcome);
  }

  /** The ids of what has no outcome, in order. */
  async pending() {
    const ids = [];
    for await (const { transactions } of this.#queue.pending()) ids.push(...transactions.map(({ id }) => id));
    return ids;
  }

  /** Lets outcomes go: the application knows them. */
  async forget(...ids) {
    await this.#store.write({ remove: ids.flatMap((id) => [['outcomes', id], ['unreported', id]]) });
  }

  /** Sends again what was refused with `retry: true`, under the same ids; several as a group. */
  async retry(...ids) {
    await this.#queue.retry(ids);
    this.#wake();
  }

  /**
   * Takes a transaction out of the queue, with its group. Resolves with the ids, and with whether it was sent: then it may
   * have been made, and nobody will know. Undefined where it is not pending.
   */
  async drop(id) {
    const dropped = await this.#store.exclusive('send', () => this.#queue.drop(id), this.#closing.signal);
    if (dropped) this.#later.delete(dropped.ids[0]);
    for (const one of dropped?.ids ?? []) {
      this.#refuse(one, { error: 'dropped', reason: 'the application dropped the transaction' });
    }
    return dropped;
  }

  /** Sends now, and asks for changes; resolves when nothing is left to do, and fails when the outbox does not send. */
  sync() {
    if (this.#closing.signal.aborted) return Promise.reject(new OutboxError(CLOSED));
    if (this.#paused) return Promise.reject(new OutboxError(this.#paused));
    const done = new Promise((resolve, reject) => this.#waiting.push({ resolve, reject }));
    this.#pull = this.#options.follow;
    this.#wake(true);
    return done;
  }

  /** Sends nothing more until `resume`. */
  pause() {
    this.#pause(PAUSED);
  }

  /** Goes on: after `pause`, after the server refused who is signed in, after a refusal in mode `stop`. */
  async resume() {
    this.#mustBeOpen();
    await this.#store.write({ remove: [['meta', 'stopped']] });
    this.#paused = this.#error = this.#stopped = null;
    this.#attempts = 0;
    this.#wake(true);
  }

  /** `paused`, `waiting` to try again, `stopped`, `sending` or `idle`; and the error that is the reason. */
  get status() {
    if (this.#closing.signal.aborted) return { state: 'closed' };
    if (this.#paused) return { state: 'paused', error: this.#paused };
    if (this.#error) return { state: 'waiting', error: this.#error };
    if (this.#stopped) return { state: 'stopped', error: this.#stopped };
    return { state: this.#running ? 'sending' : 'idle' };
  }

  /** Calls `listener` for each event of the name; gives the function that ends it. README.md has the events. */
  on(event, listener) {
    const off = this.#reporter.on(event, listener);
    if (event === 'outcome') this.#reporter.report();
    return off;
  }

  /** Ends sending, and closes the store. What has no answer is sent again after the next `open`. */
  async close() {
    if (this.#closing.signal.aborted) return;
    this.#closing.abort();
    this.#sleep?.();
    this.#undo.forEach((undo) => undo?.());
    await this.#running;
    await this.#reporter.ended();
    for (const id of [...this.#awaited.keys()]) this.#refuse(id, CLOSED);
    this.#release(new OutboxError(CLOSED));
    await this.#store.close();
  }

  // --- sending ---

  /** Makes a round soon. What waits for the network goes on waiting, unless there is a `hurry`. */
  #wake(hurry = false) {
    if (this.#closing.signal.aborted || this.#paused) return;
    this.#again = true;
    this.#hurry ||= hurry;
    if ((hurry || !this.#error) && Date.now() >= this.#notBefore) this.#sleep?.();
    this.#running ??= this.#run();
  }

  async #run() {
    // The caller's next line comes first.
    await null;
    for (;;) {
      this.#again = this.#hurry = false;
      const next = await this.#turn();
      if (this.#closing.signal.aborted || this.#paused) break;
      if (next.waitMs > 0) {
        const goesOn = this.#error ? this.#hurry && Date.now() >= this.#notBefore : this.#again;
        if (!goesOn) await this.#rest(next.waitMs);
      } else if (next.idle && !this.#again) {
        this.#release(next.error);
        this.#reporter.emit('idle');
        break;
      }
    }
    this.#running = null;
  }

  async #turn() {
    const { signal } = this.#closing;
    try {
      return await this.#store.exclusive('send', () => (signal.aborted || this.#paused ? {} : this.#round()), signal);
    } catch (error) {
      if (signal.aborted) return {};
      if (error instanceof NoAnswer) return this.#wait({ error: 'no_answer', reason: error.message });
      if (error instanceof Unanswered) {
        const { details } = error;
        return isTemporary(details.status) ? this.#wait(details, details.afterMs) : this.#pause(details);
      }
      this.#reporter.emit('problem', error);
      return this.#wait({ error: 'problem', reason: String(error?.message ?? error) });
    }
  }

  #rest(ms) {
    if (this.#closing.signal.aborted) return undefined;
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, ms);
      this.#sleep = () => {
        clearTimeout(timer);
        resolve();
      };
    }).finally(() => (this.#sleep = null));
  }

  async #round() {
    const meta = await this.#queue.meta();
    const { mode, batchCountMax } = this.#options;
    const now = Date.now();
    let batch = null, waits = false;
    if (meta.stopped === undefined) {
      // What is all in one is not cut for the network's sake.
      const countMax = mode === 'all_in_one' ? batchCountMax : this.#countMax;
      const isLater = (id) => (this.#later.get(id)?.until ?? 0) > now;
      ({ batch, waits } = await this.#queue.batch({ countMax, bytesMax: this.#bytesMax, mode }, isLater));
    }
    if (batch || this.#pull) return this.#exchange(batch, meta, now);
    if (this.#options.pouch && (await this.#merge())) return {};
    if (waits) return { waitMs: Math.max(1, Math.min(...[...this.#later.values()].map(({ until }) => until)) - now) };
    if (meta.stopped === undefined) return { idle: true };
    await this.#stop(meta.stopped);
    const isHeld = (await this.#store.read('pending', { limit: 1 })).length > 0;
    return { idle: true, error: isHeld ? new OutboxError(this.#stopped) : undefined };
  }

  /** Tells, once in each session, that nothing more is sent. */
  async #stop(id) {
    if (this.#stopped) return;
    const reason = `${id} was refused, and nothing behind it is sent until the application says so`;
    this.#stopped = { error: 'stopped', reason };
    const kept = await this.#store.get('outcomes', id);
    this.#reporter.emit('stopped', kept?.outcome ?? { id, accepted: false, error: this.#stopped });
  }

  async #exchange(batch, meta, now) {
    const transactions = batch?.transactions ?? [];
    const forgotten = batch ? await this.#queue.send(batch, now) : [];
    if (forgotten.length > 0) {
      const reason = 'it was sent and not answered, so long ago that the server may not know whether it was made';
      const decided = forgotten.map((it) => failed(it, { error: 'unanswered', reason }, { accepted: null }));
      return this.#decide({ decided, refused: decided[0].outcomes[0] });
    }
    const { changesLimit, includeDocs, follow } = this.#options;
    const since = follow ? meta.since ?? this.#options.since ?? '0' : undefined;
    const header = { client: meta.client, mode: batch?.mode ?? 'go_on', since, changesLimit, includeDocs };
    const text = exchangeText(header, transactions.map((it) => it.text));
    let reply;
    try {
      reply = await this.#connection.post('/_transact', text, this.#closing.signal);
    } catch (error) {
      // On a network that is cut all the time, less has better chances.
      if (batch) this.#countMax = Math.ceil(Math.min(this.#countMax, transactions.length) / 2);
      throw error;
    }
    const verdict = judge(reply, transactions.map(({ id }) => id));
    if (verdict.answer) return this.#answered(batch, verdict.answer, since);
    if (verdict.again) return this.#wait(verdict.again, verdict.afterMs);
    if (verdict.refused) return this.#pause(verdict.refused);
    return this.#smaller(batch, verdict);
  }

  /** Nothing was done, because of one of them: it is found, and the others are sent without it. */
  async #smaller(batch, { tooLarge, blamed, error = tooLarge, unclear = error }) {
    if (!batch) return this.#pause(unclear);
    const { records, transactions } = batch;
    if (blamed !== undefined) {
      const { id } = transactions[blamed];
      const at = records.findIndex((it) => it.transactions.some((one) => one.id === id));
      // In the mode `stop` those before it have their turn first.
      if (this.#options.mode === 'stop' && at > 0) {
        this.#countMax = at;
        return {};
      }
      const decided = [failed(records[at], error, { blamed: id })];
      return this.#decide({ decided, refused: decided[0].outcomes.find((it) => it.error) });
    }
    if (records.length > 1) {
      this.#countMax = Math.ceil(Math.min(this.#countMax, records.length) / 2);
      if (tooLarge) this.#bytesMax = Math.ceil(records.reduce((sum, { bytes }) => sum + bytes, 0) / 2);
      return {};
    }
    // With nothing in it, an exchange that is wrong in itself is still wrong.
    if (!tooLarge && !(await this.#isUnderstood())) return this.#pause(unclear);
    const decided = [failed(records[0], unclear)];
    return this.#decide({ decided, refused: decided[0].outcomes[0] });
  }

  async #isUnderstood() {
    const { client } = await this.#queue.meta();
    const text = exchangeText({ client, mode: 'go_on' }, []);
    const reply = await this.#connection.post('/_transact', text, this.#closing.signal);
    const { answer, again } = judge(reply, []);
    if (again) throw new Unanswered(again);
    return Boolean(answer);
  }

  async #answered(batch, answer, since) {
    this.#attempts = 0;
    this.#error = null;
    this.#countMax = Math.min(this.#options.batchCountMax, this.#countMax * 2);
    const result = batch ? resolve(batch, answer.transactions) : {};
    const seen = answer.changes ? await this.#seen(answer, result.decided ?? [], since) : {};
    for (const it of result.later ?? []) {
      const count = (this.#later.get(key(it))?.count ?? 0) + 1;
      this.#later.set(key(it), { count, until: Date.now() + this.#backoffMs(count) });
    }
    result.undecided?.forEach((outcome) => this.#reporter.emit('undecided', outcome));
    return this.#decide(result, seen);
  }

  /** What others changed, and what we wrote: the server leaves out what it takes for known. */
  async #seen({ changes: { results, last_seq: last, pending } }, decided, since) {
    try {
      if (results.length > 0) await this.#reporter.tell('changes', results);
    } catch (error) {
      this.#pull = false; // until somebody asks; these changes come again
      this.#reporter.emit('problem', error);
      return {};
    }
    this.#pull = pending > 0 && last !== since;
    if (!this.#options.pouch) return { since: last };
    const own = decided.flatMap(({ outcomes }) => outcomes.flatMap(({ revs }) => Object.keys(revs ?? {})));
    return { since: last, merge: [...new Set([...results.map(({ id }) => id), ...own])] };
  }

  async #decide(result, seen = {}) {
    const isStop = this.#options.mode === 'stop' && result.refused;
    await this.#queue.settle(result, { ...seen, stopped: isStop ? result.refused.id : undefined });
    const outcomes = (result.decided ?? []).flatMap((it) => it.outcomes);
    for (const { record } of result.decided ?? []) this.#later.delete(key(record));
    if (outcomes.length > 0) {
      for (const outcome of outcomes) this.#settle(outcome.id, outcome);
      this.#reporter.report();
      this.#tell(outcomes.map(({ id }) => id));
    }
    return {};
  }

  /** Merges some documents into the PouchDB; false where there are none. */
  async #merge() {
    const ids = (await this.#store.read('merge', { limit: this.#mergeCount })).map(([id]) => id);
    if (ids.length === 0) return false;
    const post = async (path, text) => {
      const reply = await this.#connection.post(path, text, this.#closing.signal);
      if (reply.status !== 200) throw new Unanswered(errorOf(reply));
      return reply.json;
    };
    let refused;
    try {
      refused = await merge(this.#options.pouch, ids, post);
    } catch (error) {
      if (error instanceof NoAnswer) this.#mergeCount = Math.ceil(ids.length / 2);
      throw error;
    }
    this.#mergeCount = Math.min(MERGE_COUNT_MAX, this.#mergeCount * 2);
    for (const row of refused) this.#reporter.emit('problem', new OutboxError({ error: row.name, reason: `${row.id}: ${row.message}` }));
    await this.#store.write({ remove: ids.map((id) => ['merge', id]) });
    this.#attempts = 0;
    this.#error = null;
    this.#reporter.emit('merged', ids);
    return true;
  }

  // --- waiting ---

  #wait({ status, error, reason }, atLeastMs = 0) {
    this.#attempts += 1;
    this.#error = { status, error, reason };
    this.#notBefore = Date.now() + atLeastMs;
    const waitMs = Math.max(atLeastMs, this.#backoffMs(this.#attempts));
    this.#reporter.emit('waiting', { error: this.#error, ms: waitMs });
    return { waitMs };
  }

  /** Twice as long each time, and never the same for two clients that lost the same server. */
  #backoffMs(attempt) {
    const { backoffFirstMs, backoffMaxMs } = this.#options;
    return Math.min(backoffMaxMs, backoffFirstMs * 2 ** (attempt - 1)) * (0.5 + Math.random() / 2);
  }

  #pause(error) {
    this.#paused = error;
    this.#sleep?.();
    this.#release(new OutboxError(error));
    this.#reporter.emit('paused', error);
    return {};
  }

  #release(error) {
    for (const { resolve, reject } of this.#waiting.splice(0)) error ? reject(error) : resolve();
  }

  #mustBeOpen() {
    if (this.#closing.signal.aborted) throw new OutboxError(CLOSED);
  }

  #await(id) {
    let entry = this.#awaited.get(id);
    if (!entry) {
      entry = {};
      entry.promise = new Promise((resolve, reject) => Object.assign(entry, { resolve, reject }));
      entry.promise.catch(() => {}); // nobody need wait for it
      this.#awaited.set(id, entry);
    }
    return entry.promise;
  }

  #settle(id, outcome) {
    this.#awaited.get(id)?.resolve(outcome);
    this.#awaited.delete(id);
  }

  #refuse(id, error) {
    this.#awaited.get(id)?.reject(new OutboxError(error));
    this.#awaited.delete(id);
  }

  /** Another page decided these. */
  async #heard(ids) {
    try {
      for (const id of ids) {
        if (!this.#awaited.has(id)) continue;
        const kept = await this.#store.get('outcomes', id);
        if (kept) this.#settle(id, kept.outcome);
      }
    } catch (error) {
      if (!this.#closing.signal.aborted) this.#reporter.emit('problem', error);
    }
  }
}

function defaultStore(name) {
  return globalThis.indexedDB ? IndexedDbStore.open(name) : new MemoryStore();
}
