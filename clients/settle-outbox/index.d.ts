/** A document as it is put. */
export type Document = Record<string, unknown>;

/** What must be so: the `id` of a document, and one or several of the others. */
export interface Requirement {
  id: string;
  exists?: true;
  absent?: true;
  rev?: string;
  match?: Record<string, unknown>;
}

export type Operation =
  | { inc: { field: string; by?: number } }
  | { append: { field: string; value: unknown } }
  | { remove: { field: string; value?: unknown } }
  | { take: { field: string; want: number; least?: number } };

/** What is to be done with one document. */
export type Write = { id: string; rev?: string } & (
  | { put: Document }
  | { patch: Document }
  | { json_patch: object[] }
  | { delete: true }
  | { ops: Operation[] }
);

/** A transaction: what must be so, and what is then to be done, or the function of a design document that says so. */
export type Transaction =
  | { require?: Requirement[]; writes: Write[] }
  | { require?: Requirement[]; call: { function: string; args?: unknown } };

export interface Accepted {
  id: string;
  accepted: true;
  /** The new revision of each document that was written. */
  revs: Record<string, string>;
  /** What `take` took, by document and field. */
  taken?: Record<string, Record<string, number>>;
  /** What a transaction function gave back. */
  result?: unknown;
}

export interface Refused {
  id: string;
  accepted: false;
  /** `requirement`, `conflict`, `missing`, `operation`, … as the server has them. */
  reason: string;
  detail?: Record<string, unknown>;
  /** The document that it failed on, `null` where that is not there. */
  current?: Record<string, Document | null>;
  /** It is not decided: `retry(id)` sends it again. */
  retry?: true;
}

/**
 * It never came to a decision. `accepted` is `null` where it may have been made, and the server has forgotten
 * (`unanswered`); else it was not.
 */
export interface Failed {
  id: string;
  accepted: false | null;
  error: ErrorDetails;
}

export type Outcome = Accepted | Refused | Failed;

export interface ErrorDetails {
  /** Of the server's reply, if there was one. */
  status?: number;
  /** A code of the server, or `no_answer`, `paused`, `stopped`, `closed`, `dropped`, `unanswered`, `problem`. */
  error: string;
  reason: string;
}

export class OutboxError extends Error implements ErrorDetails {
  status?: number;
  error: string;
  reason: string;
}

/** A row of the changes of others. */
export interface Change {
  seq: string;
  id: string;
  changes: { rev: string }[];
  deleted?: true;
  doc?: Document;
}

export type Mode = 'stop' | 'go_on' | 'all_in_one';

/** What is used of a PouchDB. */
export interface PouchLike {
  revsDiff(revs: Record<string, string[]>): Promise<Record<string, { missing: string[] }>>;
  bulkDocs(docs: object[], options: { new_edits: false }): Promise<unknown[]>;
}

export interface Options {
  /** Where transactions are kept. IndexedDB in browsers; elsewhere memory, which nothing outlives. */
  store?: Store;
  /** The name of the database of IndexedDB; from the address unless said. Give each user one. */
  name?: string;
  /** The client's name for the server; made up, and kept in the store, unless said. */
  client?: string;
  /** What a refusal means for those behind it; `go_on` unless said. */
  mode?: Mode;
  /** Of one exchange; 500 and 1 MiB unless said. */
  batchCountMax?: number;
  batchBytesMax?: number;
  /** A PouchDB that is given what others changed, and what was made of our own transactions. */
  pouch?: PouchLike;
  /** Whether to ask for changes; `true` with a PouchDB. */
  follow?: boolean;
  /** The sequence from which on, where none is kept; `0` unless said, `now` for what comes. */
  since?: string;
  /** Changes of one exchange, 1,000 unless said, and at most. */
  changesLimit?: number;
  /** Whether the event `changes` has documents. */
  includeDocs?: boolean;
  /** Of each request, or what gives them. */
  headers?: Record<string, string> | (() => Record<string, string> | Promise<Record<string, string>>);
  /** As `fetch` has it; `include` unless said. */
  credentials?: 'omit' | 'same-origin' | 'include';
  fetch?: typeof globalThis.fetch;
  /** How long an answer may not come, or not go on; a minute unless said. */
  timeoutMs?: number;
  /** How long to wait after a failure, at first and at most; half a second and a minute unless said. */
  backoffFirstMs?: number;
  backoffMaxMs?: number;
  /** For how long the server remembers outcomes; 29 days unless said, a day less than it does. */
  rememberedMs?: number;
  /** Begin with sending only after `resume()`. */
  paused?: boolean;
}

export interface Added {
  id: string;
  outcome: Promise<Outcome>;
}

export interface Events {
  /** An outcome. It counts as reported when the promise of the listener is fulfilled. */
  outcome: Outcome;
  /** What others changed. It counts as seen when the promise of the listener is fulfilled. */
  changes: Change[];
  /** A PouchDB has these documents as the server has them. */
  merged: string[];
  /** There was no answer, or one that says later. It is tried again after `ms`. */
  waiting: { error: ErrorDetails; ms: number };
  /** The server refused who is signed in, or the request; `resume()` goes on. */
  paused: ErrorDetails;
  /** In the mode `stop`: this was refused, and nothing behind it is sent until `resume()`. */
  stopped: Refused | Failed;
  /**
   * The server could not decide it. It is sent again. Where the account has no room for it, `detail.error` is
   * `insufficient_storage`.
   */
  undecided: Refused;
  /** Nothing is left to do. */
  idle: undefined;
  /** A listener failed, the store did, or a PouchDB did not take a document. */
  problem: Error;
}

export class Outbox {
  private constructor();
  static open(url: string, options?: Options): Promise<Outbox>;
  add(transaction: Transaction): Promise<Added>;
  add(group: Transaction[]): Promise<Added[]>;
  outcome(id: string): Promise<Outcome>;
  outcomes(): Promise<Outcome[]>;
  pending(): Promise<string[]>;
  forget(...ids: string[]): Promise<void>;
  retry(...ids: string[]): Promise<void>;
  drop(id: string): Promise<{ ids: string[]; sent: boolean } | undefined>;
  sync(): Promise<void>;
  pause(): void;
  resume(): Promise<void>;
  close(): Promise<void>;
  readonly status: { state: 'idle' | 'sending' | 'waiting' | 'paused' | 'stopped' | 'closed'; error?: ErrorDetails };
  on<Name extends keyof Events>(event: Name, listener: (value: Events[Name]) => unknown): () => void;
}

export interface Changes {
  put?: [space: string, key: string, value: any][];
  remove?: [space: string, key: string][];
}

/** Spaces of values by keys. */
export interface Store {
  get(space: string, key: string): Promise<any>;
  /** `[key, value]` in the order of keys, behind `after`. */
  read(space: string, options?: { after?: string; limit?: number }): Promise<[string, any][]>;
  /**
   * Everything in it is kept, on disk, or nothing of it is. A value is what JSON can say. What is `relaxed` outlives the
   * program, and need not outlive the machine.
   */
  write(changes: Changes, options?: { relaxed?: boolean }): Promise<void>;
  /** Runs one after the other what has the same name, of all who share the store. */
  exclusive<T>(name: string, run: () => T | Promise<T>, signal?: AbortSignal): Promise<T>;
  /** Tells all others who share the store, and is told. */
  notify?(message: string[], from: (message: string[]) => void): void;
  listen?(listener: (message: string[]) => void): () => void;
  close(): Promise<void>;
}

export class MemoryStore implements Store {
  get(space: string, key: string): Promise<any>;
  read(space: string, options?: { after?: string; limit?: number }): Promise<[string, any][]>;
  write(changes: Changes, options?: { relaxed?: boolean }): Promise<void>;
  exclusive<T>(name: string, run: () => T | Promise<T>): Promise<T>;
  notify(message: string[], from: (message: string[]) => void): void;
  listen(listener: (message: string[]) => void): () => void;
  close(): Promise<void>;
}

export class IndexedDbStore implements Store {
  private constructor();
  static open(name: string): Promise<IndexedDbStore>;
  get(space: string, key: string): Promise<any>;
  read(space: string, options?: { after?: string; limit?: number }): Promise<[string, any][]>;
  write(changes: Changes, options?: { relaxed?: boolean }): Promise<void>;
  exclusive<T>(name: string, run: () => T | Promise<T>, signal?: AbortSignal): Promise<T>;
  notify(message: string[], from: (message: string[]) => void): void;
  listen(listener: (message: string[]) => void): () => void;
  close(): Promise<void>;
}
