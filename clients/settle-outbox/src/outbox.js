// The outbox: what an application calls.
import { Connection } from './connection.js';
import { OutboxError } from './error.js';
import { Ids } from './ids.js';
import { Queue } from './queue.js';
import { Reporter } from './reporter.js';
import { Sender } from './sender.js';
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

const CLOSED = { error: 'closed', reason: 'the outbox was closed' };
const PAUSED = { error: 'paused', reason: 'the application paused the outbox' };

export class Outbox {
  #options;
  #store;
  #queue;
  #reporter;
  #sender;
  #ids = new Ids();
  #closing = new AbortController();
  #undo = [];
  /** Who waits for the outcome of an id. */
  #awaited = new Map();

  /** Opens the store, reports what has not been reported, and begins to send. */
  static async open(url, options = {}) {
    const all = { ...DEFAULTS, ...options };
    all.follow ??= Boolean(all.pouch);
    const connection = new Connection(url, all);
    const store = all.store ?? (await defaultStore(all.name ?? `settle-outbox ${connection.url}`));
    const outbox = new Outbox(connection, store, all);
    try {
      await outbox.#begin();
    } catch (error) {
      await outbox.close();
      throw error;
    }
    return outbox;
  }

  constructor(connection, store, options) {
    this.#store = store;
    this.#options = options;
    this.#queue = new Queue(store, options.rememberedMs);
    this.#reporter = new Reporter(store, this.#closing.signal);
    this.#sender = new Sender({
      store, connection, options,
      queue: this.#queue,
      reporter: this.#reporter,
      signal: this.#closing.signal,
      decided: (outcomes) => this.#decided(outcomes),
    });
    if (options.paused) this.#sender.pause(PAUSED);
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
      const online = () => this.#sender.wake(true);
      addEventListener('online', online);
      this.#undo.push(() => removeEventListener('online', online));
    }
    this.#sender.wake();
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
    this.#sender.wake();
    this.#tell(list.map(({ id }) => id));
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
    this.#sender.wake();
  }

  /**
   * Takes a transaction out of the queue, with its group. Resolves with the ids, and with whether it was sent: then it may
   * have been made, and nobody will know. Undefined where it is not pending.
   */
  async drop(id) {
    const dropped = await this.#sender.drop(id);
    for (const one of dropped?.ids ?? []) {
      this.#refuse(one, { error: 'dropped', reason: 'the application dropped the transaction' });
    }
    return dropped;
  }

  /** Sends now, and asks for changes; resolves when nothing is left to do, and fails when the outbox does not send. */
  sync() {
    if (this.#closing.signal.aborted) return Promise.reject(new OutboxError(CLOSED));
    return this.#sender.sync();
  }

  /** Sends nothing more until `resume`. */
  pause() {
    this.#sender.pause(PAUSED);
  }

  /** Goes on: after `pause`, after the server refused who is signed in, after a refusal in mode `stop`. */
  async resume() {
    this.#mustBeOpen();
    await this.#sender.resume();
  }

  /** `paused`, `waiting` to try again, `stopped`, `sending` or `idle`; and the error that is the reason. */
  get status() {
    return this.#closing.signal.aborted ? { state: 'closed' } : this.#sender.status;
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
    this.#undo.forEach((undo) => undo?.());
    await this.#sender.ended(new OutboxError(CLOSED));
    await this.#reporter.ended();
    for (const id of [...this.#awaited.keys()]) this.#refuse(id, CLOSED);
    await this.#store.close();
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

  #decided(outcomes) {
    for (const outcome of outcomes) this.#settle(outcome.id, outcome);
    this.#reporter.report();
    this.#tell(outcomes.map(({ id }) => id));
  }

  /** Another page decided these, or added them; it may be gone before it sends. */
  async #heard(ids) {
    try {
      for (const id of ids) {
        if (!this.#awaited.has(id)) continue;
        const kept = await this.#store.get('outcomes', id);
        if (kept) this.#settle(id, kept.outcome);
      }
      this.#sender.wake();
    } catch (error) {
      if (!this.#closing.signal.aborted) this.#reporter.emit('problem', error);
    }
  }
}

function defaultStore(name) {
  return globalThis.indexedDB ? IndexedDbStore.open(name) : new MemoryStore();
}
