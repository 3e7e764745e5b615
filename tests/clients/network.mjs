// A network that fails at the worst moment, for PouchDB in Node and on a page.

/**
 * A network on which the third `_changes` is cut off while the first batch is on its way and the second waits; what was
 * on its way still arrives.
 */
export class Network {
  /** Lets what was on its way arrive. */
  letOn;
  #cutOff;
  /** Resolves when `_changes` was cut off. */
  cut = new Promise((resolve) => { this.#cutOff = resolve; });
  #asked = 0;
  #pending = 0;
  #held = new Promise((resolve) => { this.letOn = resolve; });

  through(fetch) {
    return async (address, options) => {
      this.#pending += 1;
      try {
        const { pathname } = new URL(address);
        if (pathname.endsWith('/_changes') && (this.#asked += 1) === 3) {
          this.#cutOff();
          throw new TypeError('cut off');
        }
        if (pathname.endsWith('/_bulk_get')) await this.#held;
        return await fetch(address, options);
      } finally {
        this.#pending -= 1;
      }
    };
  }

  /** Lets it arrive, and waits until nobody asks anything more. */
  async calm() {
    this.letOn();
    for (let calm = 0; calm < 50; calm += 1) {
      await new Promise((tick) => setTimeout(tick));
      if (this.#pending > 0) calm = 0;
    }
  }
}
