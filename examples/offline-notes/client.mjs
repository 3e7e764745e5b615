// One person's device: a database in memory, synced live both ways, that can lose its network.
import PouchDB from 'pouchdb';
import memory from 'pouchdb-adapter-memory';
import { LiveSync, fetchInNode } from './sync.mjs';

PouchDB.plugin(memory);

/** How soon a client tries again after the server did not answer. */
const RETRY_MS = 250;

/** Documents a request; small, so that a network has many chances to fail in between. */
const BATCH_DOCUMENTS = 25;

export function remote(url, isOnline = () => true) {
  return new PouchDB(url, {
    skip_setup: true,
    fetch: (address, options) =>
      isOnline() ? fetchInNode(address, options) : Promise.reject(new TypeError('offline', { cause: 'a wish' })),
  });
}

export class Client {
  online = true;
  denied = [];
  #sync;

  constructor(name, url) {
    this.name = name;
    this.database = new PouchDB(`${name}-${process.pid}`, { adapter: 'memory' });
    this.#sync = new LiveSync(this.database, remote(url, () => this.online), {
      retryMs: RETRY_MS,
      onDenied: (error) => this.denied.push(error),
      batch_size: BATCH_DOCUMENTS,
    });
  }

  /** Adds a note to a document that is here already, or to a new one. */
  async note(id, text) {
    const missing = (error) => (error.status === 404 ? { _id: id } : Promise.reject(error));
    const document = await this.database.get(id).catch(missing);
    const notes = [...(document.notes ?? []), { by: this.name, text }];
    return this.database.put({ ...document, notes });
  }

  async notes(id) {
    const document = await this.database.get(id).catch(() => ({}));
    return (document.notes ?? []).map(({ by, text }) => `${by}: ${text}`);
  }

  /** Merges the notes of all versions of a document into one, and drops the versions that lost. */
  async settle(id) {
    const winner = await this.database.get(id, { conflicts: true });
    const losers = await Promise.all(
      winner._conflicts.map((rev) => this.database.get(id, { rev })));
    const distinct = new Map(
      [winner, ...losers].flatMap(({ notes = [] }) => notes).map((note) => [note.text, note]));
    const { _conflicts, ...document } = winner;
    await this.database.put({ ...document, notes: [...distinct.values()] });
    await Promise.all(losers.map((loser) => this.database.remove(loser)));
  }

  async stop() {
    await this.#sync.stop();
    await this.database.destroy();
  }
}
