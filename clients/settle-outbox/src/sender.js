// The loop that sends. One round of it is one exchange, or one merge into the PouchDB. Rounds of all who share a store take
// turns.
import { NoAnswer } from './connection.js';
import { OutboxError } from './error.js';
import { errorOf, exchangeText, isTemporary, judge } from './exchange.js';
import { merge } from './merge.js';
import { failed, key, resolve, withoutRoom } from './queue.js';

/** Documents that are fetched for a PouchDB at once, and at most. */
const MERGE_COUNT_MAX = 100;

/** Requests that may tell of no room before one wait. Where they were more, the wait is longer. */
const REFUSED_PER_WAIT = 60;

/** The server answered, and not with what was asked for. */
class Unanswered extends Error {
  constructor(details) {
    super(details.reason);
    this.details = details;
  }
}

export class Sender {
  #store;
  #queue;
  #connection;
  #reporter;
  #options;
  #signal;
  #decided;
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
  /** What there was no room for. It waits until a time, and until the rest is sent; then all of it is tried in order. */
  #full = { keys: new Set(), refused: 0, count: 0, until: 0, error: null };
  #running = null;
  /** There may be something new to do. */
  #again = false;
  /** Somebody asked, or the network came back: it does not wait for its next attempt. */
  #hurry = false;
  /** The server said when to ask again. */
  #notBefore = 0;
  #sleep = null;

  /** Outcomes go to `decided` when they are kept. It ends with `signal`. */
  constructor({ store, queue, connection, reporter, options, signal, decided }) {
    this.#store = store;
    this.#queue = queue;
    this.#connection = connection;
    this.#reporter = reporter;
    this.#options = options;
    this.#signal = signal;
    this.#decided = decided;
    this.#pull = options.follow;
    this.#countMax = options.batchCountMax;
    this.#bytesMax = options.batchBytesMax;
    signal.addEventListener('abort', () => this.#sleep?.());
  }

  get status() {
    if (this.#paused) return { state: 'paused', error: this.#paused };
    if (this.#error) return { state: 'waiting', error: this.#error };
    if (this.#stopped) return { state: 'stopped', error: this.#stopped };
    if (this.#full.keys.size > 0) return { state: 'waiting', error: this.#full.error };
    return { state: this.#running ? 'sending' : 'idle' };
  }

  /** Resolves when nothing is left to do. */
  sync() {
    if (this.#paused) return Promise.reject(new OutboxError(this.#paused));
    const done = new Promise((resolve, reject) => this.#waiting.push({ resolve, reject }));
    this.#pull = this.#options.follow;
    this.wake(true);
    return done;
  }

  /** Goes on, whatever the reason was that it did not. */
  async resume() {
    const goOn = async () => {
      await this.#store.write({ remove: [['meta', 'stopped']] });
      this.#paused = this.#error = this.#stopped = null;
      this.#attempts = 0;
    };
    await this.#store.exclusive('send', goOn, this.#signal);
    this.wake(true);
  }

  /** Takes a transaction out of the queue, when no round is in its midst. */
  async drop(id) {
    const dropped = await this.#store.exclusive('send', () => this.#queue.drop(id), this.#signal);
    if (!dropped) return undefined;
    this.#forget(dropped.ids[0]);
    this.wake();
    return dropped;
  }

  /** When it has been told to end. */
  async ended(error) {
    await this.#running;
    this.#release(error);
  }

  /** Makes a round soon. What waits for the network goes on waiting, unless there is a `hurry`. */
  wake(hurry = false) {
    if (this.#signal.aborted || this.#paused) return;
    this.#again = true;
    this.#hurry ||= hurry;
    if (hurry) this.#full.keys.clear();
    if ((hurry || !this.#error) && Date.now() >= this.#notBefore) this.#sleep?.();
    this.#running ??= this.#run();
  }

  async #run() {
    // The caller's next line comes first.
    await null;
    for (;;) {
      this.#again = this.#hurry = false;
      const next = await this.#turn();
      if (this.#signal.aborted || this.#paused) break;
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
    const signal = this.#signal;
    try {
      return await this.#store.exclusive('send', () => (signal.aborted || this.#paused ? {} : this.#round()), signal);
    } catch (error) {
      if (signal.aborted) return {};
      if (error instanceof NoAnswer) return this.#wait({ error: 'no_answer', reason: error.message });
      if (error instanceof Unanswered) {
        const { details } = error;
        return isTemporary(details.status) ? this.#wait(details, details.afterMs) : this.pause(details);
      }
      this.#reporter.emit('problem', error);
      return this.#wait({ error: 'problem', reason: String(error?.message ?? error) });
    }
  }

  #rest(ms) {
    if (this.#signal.aborted) return undefined;
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
    const full = this.#full;
    if (meta.stopped === undefined) {
      this.#stopped = null;
      // What is all in one is not cut for the network's sake.
      const countMax = mode === 'all_in_one' ? batchCountMax : this.#countMax;
      const isLater = (id) => full.keys.has(id) || (this.#later.get(id)?.until ?? 0) > now;
      ({ batch, waits } = await this.#queue.batch({ countMax, bytesMax: this.#bytesMax, mode }, isLater));
    }
    if (batch || this.#pull) return this.#exchange(batch, meta, now);
    if (this.#options.pouch && (await this.#merge())) return {};
    if (waits && full.keys.size > 0 && now >= full.until) {
      full.keys.clear();
      return {};
    }
    if (waits) {
      // Another page may have settled some of them.
      const times = [...this.#later.values(), full].map(({ until }) => until).filter((until) => until > now);
      return { waitMs: Math.max(1, Math.min(...times) - now) };
    }
    full.keys.clear();
    full.count = 0;
    if (meta.stopped === undefined) return { idle: true };
    const stopped = await this.#stop(meta.stopped);
    const isHeld = (await this.#store.read('pending', { limit: 1 })).length > 0;
    return { idle: true, error: isHeld ? new OutboxError(stopped) : undefined };
  }

  /** Tells, once in each session, that nothing more is sent; gives the reason. */
  async #stop(id) {
    if (this.#stopped) return this.#stopped;
    const reason = `${id} was refused, and nothing behind it is sent until the application says so`;
    this.#stopped = { error: 'stopped', reason };
    const kept = await this.#store.get('outcomes', id);
    this.#reporter.emit('stopped', kept?.outcome ?? { id, accepted: false, error: this.#stopped });
    return this.#stopped;
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
      reply = await this.#connection.post('/_transact', text, this.#signal);
    } catch (error) {
      // On a network that is cut all the time, less has better chances.
      if (batch) this.#countMax = Math.ceil(Math.min(this.#countMax, transactions.length) / 2);
      throw error;
    }
    const verdict = judge(reply, transactions.map(({ id }) => id));
    if (verdict.answer) return this.#answered(batch, verdict.answer, since);
    if (verdict.again) return this.#wait(verdict.again, verdict.afterMs);
    if (verdict.refused) return this.pause(verdict.refused);
    if (verdict.noRoom) return this.#noRoom(batch, verdict.noRoom);
    return this.#smaller(batch, header, verdict);
  }

  /**
   * Others may have room where one has none, above all what deletes. It stays noted as sent: a long exchange may be refused
   * before the server looks whether it is known.
   */
  #noRoom({ records }, error) {
    this.#attempts = 0;
    this.#error = null;
    if (records.length > 1) return this.#halve(records);
    for (const outcome of withoutRoom(records[0], error)) this.#reporter.emit('undecided', outcome);
    this.#passOver(records, error);
    return {};
  }

  #passOver(records, error) {
    const full = this.#full;
    if (full.keys.size === 0) Object.assign(full, { refused: 0, count: full.count + 1 });
    for (const it of records) full.keys.add(key(it));
    full.refused += 1;
    full.error = error;
    full.until = Date.now() + this.#backoffMs(full.count) * Math.max(1, full.refused / REFUSED_PER_WAIT);
  }

  #halve(records) {
    this.#countMax = Math.ceil(Math.min(this.#countMax, records.length) / 2);
    return {};
  }

  #forget(id) {
    this.#later.delete(id);
    this.#full.keys.delete(id);
  }

  /** Nothing was done, because of one of them: it is found, and the others are sent without it. */
  async #smaller(batch, header, { tooLarge, blamed, error = tooLarge, unclear = error }) {
    if (!batch) return this.pause(unclear);
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
      if (tooLarge) this.#bytesMax = Math.ceil(records.reduce((sum, { bytes }) => sum + bytes, 0) / 2);
      return this.#halve(records);
    }
    // With nothing in it, an exchange that is wrong in itself is still wrong.
    if (!tooLarge && !(await this.#isUnderstood(header))) return this.pause(unclear);
    const decided = [failed(records[0], unclear)];
    return this.#decide({ decided, refused: decided[0].outcomes[0] });
  }

  async #isUnderstood(header) {
    const reply = await this.#connection.post('/_transact', exchangeText(header, []), this.#signal);
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
    if (result.full?.length > 0) this.#passOver(result.full, result.noRoom);
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
    for (const { record } of result.decided ?? []) this.#forget(key(record));
    if (outcomes.length > 0) this.#decided(outcomes);
    return {};
  }

  /** Merges some documents into the PouchDB; false where there are none. */
  async #merge() {
    const ids = (await this.#store.read('merge', { limit: this.#mergeCount })).map(([id]) => id);
    if (ids.length === 0) return false;
    const post = async (path, text) => {
      const reply = await this.#connection.post(path, text, this.#signal);
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

  pause(error) {
    this.#paused = error;
    this.#sleep?.();
    this.#release(new OutboxError(error));
    this.#reporter.emit('paused', error);
    return {};
  }

  #release(error) {
    for (const { resolve, reject } of this.#waiting.splice(0)) error ? reject(error) : resolve();
  }
}
