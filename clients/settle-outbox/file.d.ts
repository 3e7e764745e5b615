import { MemoryStore } from './index.js';

/** A file for one process of Node. */
export class FileStore extends MemoryStore {
  private constructor();
  static open(path: string): Promise<FileStore>;
}
