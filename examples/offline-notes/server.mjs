// A server of one's own for a script: `settle serve` on a data folder that is thrown away, which can
// be killed without warning and started again on the same address.
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const START_SECONDS_MAX = 20;
const ADDRESS = /http:\/\/([\w.[\]:-]+:\d+)/;

export class Server {
  #program;
  #folder;
  #process = null;
  #ended = null; // resolves with the exit code or the signal of #process
  #host = '127.0.0.1:0'; // any free port; the one that came out of it from the second start on
  #credentials = { user: 'admin', password: randomBytes(12).toString('hex') };
  #tail = [];

  constructor(program) {
    this.#program = program;
    this.#folder = mkdtempSync(join(tmpdir(), 'settle-'));
    process.on('exit', () => {
      this.#process?.kill('SIGKILL');
      rmSync(this.#folder, { recursive: true, force: true });
    });
    // 'exit' handlers do not run on a signal that nobody handles.
    for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => process.exit(130));
  }

  /** With credentials, as PouchDB, nano and curl take it. */
  get url() {
    const { user, password } = this.#credentials;
    return `http://${user}:${password}@${this.#host}`;
  }

  /** The last lines that the server wrote, for a report of what went wrong. */
  get log() {
    return this.#tail.join('');
  }

  get #environment() {
    const { user, password } = this.#credentials;
    return { ...process.env, SETTLE_ADMIN_USER: user, SETTLE_ADMIN_PASSWORD: password };
  }

  /** Imports a file of documents into a new database, before the server is started. */
  load(database, file) {
    return new Promise((resolve, reject) => {
      const options = { env: this.#environment, stdio: ['ignore', 'ignore', 'pipe'] };
      const load = spawn(this.#program, ['load', '--data', this.#folder, database, file], options);
      let errors = '';
      load.stderr.on('data', (text) => (errors += text));
      load.on('error', reject);
      load.on('close', (code) =>
        code === 0 ? resolve() : reject(new Error(`settle load ended with ${code}: ${errors}`)));
    });
  }

  /** Resolves when the server listens, with the milliseconds that took. */
  async start() {
    const begin = Date.now();
    const arguments_ = ['serve', '--data', this.#folder, '--bind', this.#host];
    const options = { env: this.#environment, stdio: ['ignore', 'pipe', 'pipe'] };
    this.#process = spawn(this.#program, arguments_, options);
    this.#ended = new Promise((resolve) =>
      this.#process.on('exit', (code, signal) => resolve(code ?? signal)));
    this.#host = await new Promise((resolve, reject) => {
      const fail = (what) => reject(new Error(`${this.#program} ${what}\n${this.log}`));
      const timer = setTimeout(
        () => fail(`printed no address within ${START_SECONDS_MAX} s`), START_SECONDS_MAX * 1000);
      this.#process.on('error', (error) => fail(`did not start: ${error.message}`));
      this.#process.on('exit', (code) => fail(`ended with ${code} before it listened`));
      const heard = (text) => {
        this.#tail = [...this.#tail, String(text)].slice(-40);
        const address = ADDRESS.exec(text);
        if (address) {
          clearTimeout(timer);
          resolve(address[1]);
        }
      };
      this.#process.stdout.on('data', heard);
      this.#process.stderr.on('data', heard);
    });
    await this.#answers();
    return Date.now() - begin;
  }

  /** kill -9: nothing is flushed, nobody is told. */
  async kill() {
    await this.#end('SIGKILL');
  }

  /** Asks it to stop, and throws when it does not stop as it should. */
  async stop() {
    const code = await this.#end('SIGTERM');
    if (code !== 0) throw new Error(`the server ended with ${code} when asked to stop\n${this.log}`);
  }

  #end(signal) {
    this.#process.kill(signal); // does nothing when it has ended by itself
    return this.#ended;
  }

  async #answers() {
    const end = Date.now() + START_SECONDS_MAX * 1000;
    for (;;) {
      const reply = await fetch(`http://${this.#host}/`).catch((error) => ({ error }));
      if (reply.ok) return reply.arrayBuffer();
      if (Date.now() > end) throw new Error(`no answer at ${this.#host}: ${reply.error ?? reply.status}`);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
}
