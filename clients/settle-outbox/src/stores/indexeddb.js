// A database of the browser. All pages of an origin share it, so sending takes turns among them (Web Locks, where there
// are any), and they tell each other of what they did (BroadcastChannel, where there is one).
const SPACES = ['pending', 'sent', 'outcomes', 'unreported', 'merge', 'meta'];

export class IndexedDbStore {
  #name;
  #database;
  #channel;
  #listeners = new Set();

  /** Opens the database of this name, or makes it. */
  static async open(name) {
    const request = indexedDB.open(name, 1);
    request.onupgradeneeded = () => SPACES.forEach((space) => request.result.createObjectStore(space));
    return new IndexedDbStore(name, await finished(request));
  }

  constructor(name, database) {
    this.#name = name;
    this.#database = database;
    // Another page wants to delete it, or to have it in a newer form.
    database.onversionchange = () => database.close();
    this.#channel = globalThis.BroadcastChannel ? new BroadcastChannel(name) : null;
    if (this.#channel) this.#channel.onmessage = ({ data }) => this.#listeners.forEach((listener) => listener(data));
  }

  get(space, key) {
    return finished(this.#database.transaction(space).objectStore(space).get(key));
  }

  async read(space, { after, limit } = {}) {
    const range = after === undefined ? null : IDBKeyRange.lowerBound(after, true);
    const count = limit === undefined || limit === Infinity ? undefined : limit;
    const store = this.#database.transaction(space).objectStore(space);
    const [keys, values] = await Promise.all([finished(store.getAllKeys(range, count)), finished(store.getAll(range, count))]);
    return keys.map((key, at) => [key, values[at]]);
  }

  write({ put = [], remove = [] }, { relaxed = false } = {}) {
    const spaces = [...new Set([...put, ...remove].map(([space]) => space))];
    if (spaces.length === 0) return Promise.resolve();
    // What was said to be kept is on disk, and not only with the browser.
    const durability = relaxed ? 'relaxed' : 'strict';
    const transaction = this.#database.transaction(spaces, 'readwrite', { durability });
    for (const [space, key] of remove) transaction.objectStore(space).delete(key);
    for (const [space, key, value] of put) transaction.objectStore(space).put(value, key);
    return new Promise((resolve, reject) => {
      transaction.oncomplete = () => resolve();
      transaction.onabort = () => reject(transaction.error);
    });
  }

  exclusive(name, run, signal) {
    if (!globalThis.navigator?.locks) return run();
    return navigator.locks.request(`${this.#name}:${name}`, { signal }, run);
  }

  notify(message, from) {
    for (const listener of this.#listeners) if (listener !== from) queueMicrotask(() => listener(message));
    this.#channel?.postMessage(message);
  }

  listen(listener) {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  async close() {
    this.#channel?.close();
    this.#database.close();
  }
}

function finished(request) {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}
