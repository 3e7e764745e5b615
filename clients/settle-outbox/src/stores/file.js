// A file for one process of Node: a line of JSON for each write, synced before it counts.
//
// All is in memory as well. A line that a crash cut off was never acknowledged, and is cut off when the file is opened.
// When most of the file is of what has gone, it is written anew beside it, and takes its place.
import { open, readFile, rename, truncate } from 'node:fs/promises';
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
  #bytesAtRewrite = 0;
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
        if (this.#bytes > Math.max(REWRITE_BYTES_MIN, GROWTH_MAX * this.#bytesAtRewrite)) await this.#rewrite();
        for (const { resolve } of writes) resolve();
      } catch (error) {
        for (const { reject } of writes) reject(error);
      }
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
    this.#bytes = this.#bytesAtRewrite = whole;
    this.#file = await open(this.#path, 'a');
    await syncFolder(this.#path);
  }

  async #rewrite() {
    const beside = `${this.#path}.new`;
    const file = await open(beside, 'w');
    const text = `${JSON.stringify({ put: this.all() })}\n`;
    await file.writeFile(text);
    await file.datasync();
    await file.close();
    await rename(beside, this.#path);
    await syncFolder(this.#path);
    await this.#file.close();
    this.#file = await open(this.#path, 'a');
    this.#bytes = this.#bytesAtRewrite = Buffer.byteLength(text);
  }
}

/** Makes a new name in a folder last; not every system can. */
async function syncFolder(path) {
  const folder = await open(dirname(path), 'r').catch(() => null);
  await folder?.sync().catch(() => {});
  await folder?.close();
}
