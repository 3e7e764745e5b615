#!/usr/bin/env node
// Runs real clients against a real server, which it starts on a free port and a folder that is thrown
// away:
//   node run.mjs PROGRAM DOCUMENTS PYTHON
// PROGRAM is the `settle` binary, DOCUMENTS what ../../examples/countries makes, PYTHON an interpreter that
// has what requirements.txt names. Every step is printed;
// the last line is `N passed, N failed`. Ends with 0 when each step did what is expected of it.
import { spawn } from 'node:child_process';
import { existsSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Server } from '../../examples/offline-notes/server.mjs';
import { expectedFailures } from './expected-failures.mjs';

const SCRIPT_SECONDS_MAX = 600;

/** Transactions that are sent through a bad network; outbox-exactly-once.mjs takes any number. */
const TRANSACTIONS = '1000';
const STEP = /^(PASS|FAIL) [\w-]+: (.*)$/;

const [program, documents, python] = process.argv.slice(2).map((path) => resolve(path));
if (!python) {
  console.error('usage: run.mjs PROGRAM DOCUMENTS PYTHON');
  process.exit(2);
}
const here = fileURLToPath(new URL('.', import.meta.url));
const invoices = resolve(here, '../../examples/invoices/invoices.mjs');
const example = resolve(here, '../../examples/offline-notes/notes.mjs');
let passed = 0;
/** The lines of the steps that failed. */
const failed = [];

function judge(isGood, title, remark = '') {
  const line = `${isGood ? 'ok    ' : 'NOT OK'} ${title}${remark && ` (${remark})`}`;
  console.log(line);
  if (isGood) passed += 1;
  else failed.push(line);
}

/** Runs a script to its end and hands each line that it prints to `heard`. */
function run(script, arguments_, heard) {
  return new Promise((done) => {
    const options = { cwd: here, stdio: ['ignore', 'pipe', 'inherit'] };
    const interpreter = script.endsWith('.py') ? python : process.execPath;
    const child = spawn(interpreter, [script, ...arguments_], options);
    const timer = setTimeout(() => child.kill('SIGKILL'), SCRIPT_SECONDS_MAX * 1000);
    let rest = '';
    child.stdout.on('data', (text) => {
      const lines = (rest + text).split('\n');
      rest = lines.pop();
      lines.forEach(heard);
    });
    child.on('close', (code, signal) => {
      clearTimeout(timer);
      if (rest) heard(rest);
      done(code ?? signal);
    });
  });
}

/**
 * A client script that prints PASS or FAIL for each step. `who` says who runs it, or against what, unless that is
 * the administrator against the one server.
 */
async function steps(script, url, who = '', more = []) {
  const name = script + who;
  const expected = expectedFailures[name] ?? expectedFailures[script] ?? {};
  const met = new Set();
  let hasFailed = false;
  const ended = await run(script, [url, ...more], (line) => {
    const [, outcome, rest] = STEP.exec(line) ?? [];
    if (!outcome) return;
    const [title, ...message] = rest.split(' -- ');
    met.add(title);
    hasFailed ||= outcome === 'FAIL';
    const reason = expected[title];
    const remark = outcome === 'PASS'
      ? reason && 'passes, and is among the expected failures'
      : reason ? `expected to fail: ${reason}` : message.join(' -- ');
    judge((outcome === 'PASS') === !reason, `${name}: ${title}`, remark);
  });
  if (ended !== (hasFailed ? 1 : 0)) judge(false, `${name}: runs to its end`, `ended with ${ended}`);
  for (const title of Object.keys(expected).filter((title) => !met.has(title))) {
    judge(false, `${name}: ${title}`, 'expected to fail, and not run');
  }
  if (met.size === 0) judge(false, `${name}: runs`, 'no step was reported');
}

/** A program that prints the same whenever it runs: what stands in `expected.txt` beside it. UPDATE_EXPECT=1 writes that. */
async function golden(name) {
  const folder = resolve(here, '../../examples', name);
  const lines = [];
  const ended = await run(resolve(folder, `${name}.mjs`), ['--server', program], (line) => lines.push(line));
  const printed = lines.map((line) => `${line}\n`).join('');
  const file = resolve(folder, 'expected.txt');
  if (process.env.UPDATE_EXPECT) writeFileSync(file, printed);
  const isSame = existsSync(file) && readFileSync(file, 'utf8') === printed;
  if (!isSame) console.log(printed.replace(/^/gm, '       '));
  judge(ended === 0 && isSame, `${name}: tells what it should`, ended ? `ended with ${ended}` : '');
}

/** A request of the administrator that has to succeed. */
async function put(path, body) {
  const { origin, username, password } = new URL(server.url);
  const authorization = 'Basic ' + Buffer.from(`${username}:${password}`).toString('base64');
  const reply = await fetch(origin + path, { method: 'PUT', headers: { authorization }, body: JSON.stringify(body) });
  if (!reply.ok) throw new Error(`PUT ${path}: ${reply.status} ${await reply.text()}`);
}

/** Makes a user, and gives the URL of their account. */
async function account(name, password) {
  const encoded = encodeURIComponent(name);
  await put(`/_users/org.couchdb.user:${encoded}`, { type: 'user', name, roles: [], password });
  return `http://${encoded}:${password}@${new URL(server.url).host}/~${encoded}`;
}

/** Starts a server that others made. */
function peer() {
  const child = spawn(process.execPath, ['peer.mjs'], { cwd: here, stdio: ['pipe', 'pipe', 'inherit'] });
  return new Promise((resolve, reject) => {
    child.on('exit', (code) => reject(new Error(`peer.mjs ended with ${code}`)));
    child.stdout.on('data', (text) => {
      const address = /listening on (\S+)/.exec(text);
      if (address) resolve({ url: address[1], stop: () => child.stdin.end() });
    });
  });
}

{
  const folder = resolve(here, '../../clients/settle-outbox/test');
  const tests = readdirSync(folder).filter((name) => name.endsWith('.test.js')).map((name) => resolve(folder, name));
  const failures = [];
  const heard = (line) => line.startsWith('not ok') && failures.push(line);
  const ended = await run('--test', ['--test-reporter=tap', ...tests], heard);
  judge(ended === 0, 'settle-outbox: its own tests', failures.join('; '));
}
const server = new Server(program);
await server.start();
// couchdb-python's script has short passwords, as CouchDB takes them.
await put('/_node/_local/_config/chttpd_auth/password_length_min', '6');
const scripts = [
  'nano-smoke.mjs',
  'pouchdb-sync.mjs',
  'pouchdb-find.mjs',
  'pouchdb-account.mjs',
  'pouchdb-history.mjs',
  'pouchdb-replication.mjs',
  'pouchdb-network.mjs',
  'aiocouch_smoke.py',
  'couchdb_python_smoke.py',
];
for (const script of scripts) await steps(script, server.url);
{
  const url = await account('dora@example.org', 'what-dora-knows');
  for (const script of ['pouchdb-sync.mjs', 'pouchdb-find.mjs']) await steps(script, url, ' as a user');
}
await steps('outbox.mjs', server.url, '', ['--program', program]);
await steps('replication.mjs', server.url);
{
  const other = new Server(program);
  await other.start();
  await steps('replication.mjs', server.url, ' with a second server', ['--peer', other.url]);
  await other.stop();
}
{
  const { url, stop } = await peer();
  await steps('replication.mjs', server.url, ' with express-pouchdb', ['--peer', url]);
  stop();
}
for (const script of ['browser.mjs', 'outbox-browser.mjs']) {
  if (existsSync(process.env.CHROMIUM || '/usr/bin/chromium')) await steps(script, server.url);
  else console.log(`skipped ${script}: there is no /usr/bin/chromium, and CHROMIUM names no other`);
}
{
  const heard = (line) => console.log(`       ${line}`);
  const ended = await run(invoices, [`${server.url}/invoices`], heard);
  judge(ended === 0, 'invoices: what is due is right', ended ? `ended with ${ended}` : '');
}
// Last, since it leaves nothing as it was.
await steps('schema.py', server.url);
if (failed.length > 0) console.log(`the server's last lines:\n${server.log}`);
await server.stop().then(
  () => judge(true, 'the server stops when it is asked to'),
  (error) => judge(false, 'the server stops when it is asked to', error.message),
);

await steps('convergence.mjs', program);
await steps('convergence.mjs', program, ' with a planted bug', ['--plant']);

await steps('outbox-exactly-once.mjs', program, '', ['--transactions', TRANSACTIONS]);
for (const name of ['inventory', 'favourites']) await golden(name);

for (const kill of [[], ['--kill']]) {
  const arguments_ = ['--server', program, '--documents', documents, ...kill];
  const ended = await run(example, arguments_, (line) => console.log(`       ${line}`));
  judge(ended === 0, `offline-notes converges${kill.length ? ' after kill -9' : ''}`, ended ? `ended with ${ended}` : '');
}

// Where only the end of the output is kept, they are in it.
for (const line of failed) console.log(line);
console.log(`${passed} passed, ${failed.length} failed`);
process.exit(failed.length > 0 ? 1 : 0);
