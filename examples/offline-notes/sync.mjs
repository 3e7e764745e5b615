// PouchDB over a network that fails: what an application does to lose nothing with PouchDB 9.0.0, in Node and on a page.

/**
 * Node's own `fetch`, as PouchDB takes one. The one that PouchDB brings along for Node waits for ever for the rest of
 * a body whose length was announced, where the connection has ended: a sync stands still after its server was killed.
 */
export async function fetchInNode(address, options) {
  const response = await fetch(address, options);
  // PouchDB keeps attachments in Node as Buffers, and asks for one this way.
  response.buffer = async () => Buffer.from(await response.arrayBuffer());
  return response;
}

const isNode = globalThis.process?.versions?.node !== undefined;

/** Whether this is what `fetchInNode` throws where there is no network, or an end in the midst of a reply. */
export function isOfNetwork(error) {
  return error instanceof TypeError && (error.message === 'offline' || error.cause !== undefined);
}

/**
 * Lets `replicate` work with a `fetch` that is over when `replicate` is: what is asked afterwards fails.
 *
 * PouchDB goes on with a replication that has failed. Where `_changes` is cut off while batches wait for their turn, it
 * throws those away, writes what comes after them, and then a checkpoint, so that nobody asks for them again. Its
 * `retry` begins a second replication beside the first, and loses them too.
 */
export async function untilItFails(replicate, isOnline = () => true) {
  let isOver = false;
  const passing = (address, options) => {
    if (isOver || !isOnline()) return Promise.reject(new TypeError('offline'));
    return isNode ? fetchInNode(address, options) : fetch(address, options);
  };
  try {
    return await replicate(passing);
  } finally {
    isOver = true;
  }
}

/** Keeps two databases in sync, both ways, until it is stopped. */
export class LiveSync {
  #isStopped = false;
  #current;
  #ended;
  #wake = () => {};

  /**
   * `ends` opens both databases for one try, those behind a URL with the `fetch` that it is given. `retryMs` is how
   * long to wait after a failure. `onDenied` hears of documents that the server refuses, and of being refused oneself,
   * which ends the sync. Other options are PouchDB's.
   */
  constructor(ends, { retryMs, isOnline, onDenied = () => {}, ...options }) {
    const once = (fetch) => this.#once(ends(fetch), onDenied, options);
    this.#ended = this.#run(once, retryMs, isOnline, onDenied);
  }

  async stop() {
    this.#isStopped = true;
    this.#current?.cancel();
    this.#wake();
    await this.#ended;
  }

  async #run(once, retryMs, isOnline, onDenied) {
    while (!this.#isStopped) {
      const error = await untilItFails(once, isOnline).then(() => null, (error) => error);
      if ([401, 403].includes(error?.status)) return onDenied(error);
      if (!this.#isStopped) await this.#pause(retryMs);
    }
  }

  #pause(milliseconds) {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, milliseconds);
      this.#wake = () => resolve(clearTimeout(timer));
    });
  }

  #once([one, other], onDenied, options) {
    this.#current = one.sync(other, { ...options, live: true, retry: false });
    return new Promise((resolve, reject) => {
      this.#current.on('denied', onDenied).on('complete', resolve).on('error', reject);
    });
  }
}
