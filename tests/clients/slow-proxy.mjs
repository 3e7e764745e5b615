// A bad network before a server: `settle slow-proxy`, started and stopped.
import { spawn } from 'node:child_process';

/**
 * Starts it before the server of `url`, with options as on the command line. Gives the URL by which the server is reached
 * through it, and `stop`, which resolves with what it says of itself.
 */
export async function slowProxy(program, url, options) {
  const to = new URL(url);
  const child = spawn(program, ['slow-proxy', '--to', to.host, ...options], { stdio: ['ignore', 'pipe', 'pipe'] });
  process.on('exit', () => child.kill('SIGKILL'));
  const ended = new Promise((resolve) => child.on('close', resolve));
  let said = '';
  child.stderr.on('data', (text) => (said += text));
  const address = await new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('exit', (code) => reject(new Error(`slow-proxy ended with ${code}: ${said}`)));
    child.stdout.on('data', (text) => {
      said += text;
      const found = /listening on (\S+)/.exec(said);
      if (found) resolve(found[1]);
    });
  });
  const through = new URL(url);
  through.host = address;
  return {
    url: through.href.replace(/\/$/, ''),
    async stop() {
      child.kill('SIGTERM');
      await ended;
      return said.trim().split('\n').at(-1);
    },
  };
}
