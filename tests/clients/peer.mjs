// A CouchDB-compatible peer made by others: express-pouchdb, which pouchdb-server runs on, with PouchDB in
// memory. Prints `listening on http://127.0.0.1:PORT`, and ends with its standard input.
import { createRequire } from 'node:module';
import { createServer } from 'node:http';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import PouchDB from 'pouchdb';
import memory from 'pouchdb-adapter-memory';

// It writes its log and nothing else where it is started.
const folder = mkdtempSync(join(tmpdir(), 'peer-'));
process.chdir(folder);
process.on('exit', () => rmSync(folder, { recursive: true, force: true }));
PouchDB.plugin(memory);
const express = createRequire(import.meta.url)('express-pouchdb');
const app = express(PouchDB.defaults({ adapter: 'memory' }), { inMemoryConfig: true, mode: 'fullCouchDB', logPath: join(folder, 'log') });
const server = createServer(app).listen(0, '127.0.0.1', () => console.log(`listening on http://127.0.0.1:${server.address().port}`));
// Some requests make it drop a promise that fails (a filter that it does not know), which would end it.
process.on('unhandledRejection', (error) => console.error(`the peer dropped: ${error?.message ?? error}`));
process.stdin.resume().on('end', () => process.exit(0));
