// A store in a file, for Node. It stands by itself, so that what is made for browsers has nothing of Node in it.
export { FileStore } from './src/stores/file.js';
