// What is kept in memory: gone with the process, for tests and for what need not outlive it.

/**
 * A store has *spaces*, each of which has values by keys in the order of these. Everything that one `write` has is
 * kept, or nothing of it.
 */
export class MemoryStore {
  #spaces = new Map();
  #turns = new Map();
  #listeners = new Set();

  async get(space, key) {
    return this.#space(space).values.get(key);
  }

  /** `[key, value]` in the order of keys, behind `after`. */
  async read(space, { after, limit = Infinity } = {}) {
    const { keys, values } = this.#space(space);
    if (keys === null) return this.#sort(space, { after, limit });
    const start = after === undefined ? 0 : place(keys, after);
    return keys.slice(start, start + limit).map((key) => [key, values.get(key)]);
  }

  async write(changes) {
    this.apply(changes);
  }

  /** What `write` does, at once. */
  apply({ put = [], remove = [] }) {
    for (const [name, key] of remove) {
      const space = this.#space(name);
      if (!space.values.delete(key)) continue;
      space.keys = null;
    }
    for (const [name, key, value] of put) {
      const space = this.#space(name);
      const isNew = !space.values.has(key);
      space.values.set(key, value);
      if (!isNew || space.keys === null) continue;
      // Mostly they come in order.
      if (space.keys.length === 0 || space.keys.at(-1) < key) space.keys.push(key);
      else space.keys = null;
    }
  }

  /** All that is here, as `put` of a `write`. */
  all() {
    return [...this.#spaces].flatMap(([space, { values }]) => [...values].map(([key, value]) => [space, key, value]));
  }

  /** Runs it when all that came before under this name has ended. */
  exclusive(name, run) {
    const turn = (this.#turns.get(name) ?? Promise.resolve()).then(run);
    this.#turns.set(name, turn.catch(() => {}));
    return turn;
  }

  /** Tells others who use the store. */
  notify(message, from) {
    for (const listener of this.#listeners) if (listener !== from) queueMicrotask(() => listener(message));
  }

  listen(listener) {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  async close() {}

  #space(name) {
    if (!this.#spaces.has(name)) this.#spaces.set(name, { keys: [], values: new Map() });
    return this.#spaces.get(name);
  }

  #sort(name, options) {
    const space = this.#space(name);
    space.keys = [...space.values.keys()].sort((a, b) => (a < b ? -1 : 1));
    return this.read(name, options);
  }
}

/** Where the first key behind `after` is. */
function place(keys, after) {
  let [low, high] = [0, keys.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (keys[middle] <= after) low = middle + 1;
    else high = middle;
  }
  return low;
}
