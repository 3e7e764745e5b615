// Tells the application what happens. Outcomes are told once, though it is closed, or dies, before it hears them.

/** Outcomes that are looked up at once. */
const PAGE = 50;

export class Reporter {
  #store;
  #closing;
  #listeners = new Map();
  #reporting = null;
  #again = false;

  constructor(store, closing) {
    this.#store = store;
    this.#closing = closing;
  }

  on(event, listener) {
    if (!this.#listeners.has(event)) this.#listeners.set(event, new Set());
    this.#listeners.get(event).add(listener);
    return () => this.#listeners.get(event).delete(listener);
  }

  /** Tells those who listen, and waits for nobody. */
  emit(event, value) {
    const listeners = this.#listeners.get(event);
    if (event === 'problem' && !listeners?.size) console.error('settle-outbox:', value);
    for (const listener of listeners ?? []) queueMicrotask(() => this.#closing.aborted || listener(value));
  }

  /** Waits until all have taken it. */
  async tell(event, value) {
    for (const listener of [...(this.#listeners.get(event) ?? [])]) await listener(value);
  }

  /** Reports outcomes that have not been reported, in turn with others who share the store. */
  report() {
    this.#again = true;
    this.#reporting ??= this.#run();
  }

  async ended() {
    await this.#reporting;
  }

  async #run() {
    await null; // so that it ends after it began
    while (this.#again && this.#hears()) {
      this.#again = false;
      try {
        await this.#store.exclusive('report', () => this.#all(), this.#closing);
      } catch (error) {
        // What was not taken is reported again with the next outcome, or after the next `open`.
        if (!this.#closing.aborted) this.emit('problem', error);
      }
    }
    this.#reporting = null;
  }

  async #all() {
    while (this.#hears()) {
      const page = await this.#store.read('unreported', { limit: PAGE });
      if (page.length === 0) return;
      for (const [id] of page) {
        if (!this.#hears()) return;
        const kept = await this.#store.get('outcomes', id);
        if (kept) await this.tell('outcome', kept.outcome);
        // It need not outlive the machine, and there may be ten thousand.
        await this.#store.write({ remove: [['unreported', id]] }, { relaxed: true });
      }
    }
  }

  #hears() {
    return !this.#closing.aborted && this.#listeners.get('outcome')?.size > 0;
  }
}
