// Transactions that are gathered without a network and sent to a Settle server until each is answered.
export { OutboxError } from './src/error.js';
export { Outbox } from './src/outbox.js';
export { MemoryStore } from './src/stores/memory.js';
export { IndexedDbStore } from './src/stores/indexeddb.js';
