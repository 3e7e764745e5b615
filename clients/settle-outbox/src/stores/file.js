// A file for one process of Node: a line of JSON for each write, synced before it counts.
//
// All is in memory as well. A line that a crash cut off was never acknowledged, and is cut off when the file is opened.
// When most of the file is of what has gone, it is written anew beside it, and takes its place. Where that fails, as on a disk
// that is nearly full, the file stays as it is, and it is tried again when it has grown.
import { open, readFile, rename, rm, truncate } from 'node:fs/promises';
import { dirname } from 'node:path';
import { MemoryStore } from './memory.js';

/** A file with less than this in it is not written anew. */
const REWRITE_BYTES_MIN = 1 << 20;

/** It is written anew when it is so many times as long as it was after the last time. */
const GROWTH_MAX = 4;

export class FileStore extends MemoryStore {
  #path;
  #file = null;
  #bytes = 0;
  /** It is written anew when it is longer than this. */
  #rewriteBytes = REWRITE_BYTES_MIN;
  #waiting = [];
  #writing = null;

  /** Opens the file, or makes it. One process may have it open. */
  static async open(path) {
    const store = new FileStore(path);
    await store.#load();
    return store;
  }

  constructor(path) {
    super();
    this.#path = path;
  }

  /** Writes that come while others are synced share the next sync. What is relaxed outlives the process, and waits for none. */
  write(changes, { relaxed = false } = {}) {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ changes, relaxed, resolve, reject });
      this.#writing ??= this.#drain();
    });
  }

  async close() {
    await this.#writing;
    await this.#file?.close();
    this.#file = null;
  }

  async #drain() {
    await null; // so that it ends after it began
    while (this.#waiting.length > 0) {
      const writes = this.#waiting.splice(0);
      try {
        const text = writes.map(({ changes }) => `${JSON.stringify(changes)}\n`).join('');
        await this.#append(text, writes.every(({ relaxed }) => relaxed));
        for (const { changes } of writes) this.apply(changes);
        for (const { resolve } of writes) resolve();
      } catch (error) {
        for (const { reject } of writes) reject(error);
        continue;
      }
      // What was written is kept, whatever becomes of this.
      if (this.#bytes > this.#rewriteBytes) await this.#rewrite().catch(() => this.#rewriteLater());
    }
    this.#writing = null;
  }

  async #append(text, relaxed) {
    if (this.#file === null) throw new Error(`${this.#path} is closed`);
    try {
      await this.#file.appendFile(text);
      if (!relaxed) await this.#file.datasync();
    } catch (error) {
      // What is half there must not be followed by a whole line.
      await truncate(this.#path, this.#bytes).catch(() => {});
      throw error;
    }
    this.#bytes += Buffer.byteLength(text);
  }

  async #load() {
    const content = await readFile(this.#path).catch((error) => {
      if (error.code === 'ENOENT') return Buffer.alloc(0);
      throw error;
    });
    const whole = content.lastIndexOf('\n') + 1;
    for (const line of content.subarray(0, whole).toString().split('\n')) if (line) this.apply(JSON.parse(line));
    if (whole < content.length) await truncate(this.#path, whole);
    this.#measure(whole);
    this.#file = await open(this.#path, 'a');
    await syncFolder(this.#path);
  }

  /** Where it fails, the file and what is open of it stay as they are. */
  async #rewrite() {
    const beside = `${this.#path}.new`;
    const text = `${JSON.stringify({ put: this.all() })}\n`;
    const file = await open(beside, 'a');
    try {
      await file.truncate(); // a process that ended may have left something
      await file.appendFile(text);
      await file.datasync();
      await rename(beside, this.#path);
    } catch (error) {
      await file.close().catch(() => {});
      await rm(beside, { force: true }).catch(() => {});
      throw error;
    }
    const old = this.#file;
    this.#file = file;
    this.#measure(Buffer.byteLength(text));
    await syncFolder(this.#path);
    await old.close();
  }

  #rewriteLater() {
    const again = this.#bytes + Math.max(REWRITE_BYTES_MIN, this.#bytes / GROWTH_MAX);
    this.#rewriteBytes = Math.max(this.#rewriteBytes, again);
  }

  #measure(bytes) {
    this.#bytes = bytes;
    this.#rewriteBytes = Math.max(REWRITE_BYTES_MIN, GROWTH_MAX * bytes);
  }
}

/** Makes a new name in a folder last; not every system can. */
async function syncFolder(path) {
  const folder = await open(dirname(path), 'r').catch(() => null);
  await folder?.sync().catch(() => {});
  await folder?.close();
}
