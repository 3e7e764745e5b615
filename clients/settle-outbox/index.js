// Transactions that are gathered without a network and sent to a Settle server until each is answered.
export { Outbox, OutboxError } from './src/outbox.js';
export { MemoryStore } from './src/stores/memory.js';
export { IndexedDbStore } from './src/stores/indexeddb.js';
