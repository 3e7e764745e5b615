// PouchDB over a network that fails: what an application does to lose nothing with PouchDB 9.0.0, in Node and on a page.
//
// In Node, PouchDB also leaves promises to nobody when a connection breaks, which end the process unless it hears of
// them: process.on('unhandledRejection', (error) => { if (!isOfNetwork(error)) throw error; }).

/**
 * Node's own `fetch`, as PouchDB takes one. The one that PouchDB brings along for Node waits for ever for the rest of
 * a body whose length was announced, where the connection has ended: a sync stands still after its server was killed.
 * This one keeps no cookies; credentials are best in the URL or in `auth`.
 */
export async function fetchInNode(address, options) {
  const response = await fetch(address, options);
  // PouchDB keeps attachments in Node as Buffers, and asks for one this way.
  response.buffer = async () => Buffer.from(await response.arrayBuffer());
  return response;
}

/** Whether this is what `fetchInNode` throws where there is no network, or an end in the midst of a reply. */
export function isOfNetwork(error) {
  return error instanceof TypeError && error.cause !== undefined;
}

/**
 * Waits for a replication, and ends it where it fails.
 *
 * PouchDB goes on with one that has failed. Where `_changes` is cut off while batches wait for their turn, it throws
 * those away, writes what comes after them, and then a checkpoint, so that nobody asks for them again. Its `retry`
 * begins a second replication beside the first, and loses them too. One that is cancelled writes no more checkpoints.
 */
export function ended(replication) {
  return new Promise((resolve, reject) => {
    replication.on('complete', resolve).on('error', (error) => {
      replication.cancel();
      reject(error);
    });
  });
}

/** Keeps two databases in sync, both ways, until it is stopped. */
export class LiveSync {
  #isStopped = false;
  #current;
  #ended;
  #wake = () => {};

  /**
   * `retryMs` is how long to wait after a failure, of which `onFailure` hears. `onDenied` hears of documents that the
   * server refuses, and of being refused oneself, which ends the sync. Other options are PouchDB's.
   */
  constructor(one, other, { retryMs, onDenied = () => {}, onFailure = () => {}, ...options }) {
    this.#ended = this.#run(() => this.#once(one, other, onDenied, options), retryMs, onDenied, onFailure);
  }

  async stop() {
    this.#isStopped = true;
    this.#current?.cancel();
    this.#wake();
    await this.#ended;
  }

  async #run(once, retryMs, onDenied, onFailure) {
    while (!this.#isStopped) {
      const error = await once().then(() => null, (error) => error);
      if ([401, 403].includes(error?.status)) return onDenied(error);
      if (error) onFailure(error);
      if (!this.#isStopped) await this.#pause(retryMs);
    }
  }

  async #once(one, other, onDenied, options) {
    const sync = one.sync(other, { ...options, live: true, retry: false });
    // Each half says by itself how it failed.
    this.#current = sync.on('denied', onDenied).on('error', () => {});
    const halves = [ended(sync.push), ended(sync.pull)];
    try {
      await Promise.all(halves);
    } finally {
      sync.cancel();
      await Promise.allSettled(halves);
    }
  }

  #pause(milliseconds) {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, milliseconds);
      this.#wake = () => resolve(clearTimeout(timer));
    });
  }
}
