// PouchDB in a browser, on a page of another origin, replicates with a server in both directions:
//   node browser.mjs BASE_URL
// $CHROMIUM is the browser, /usr/bin/chromium unless it is set.
import { readFile, mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';
import { script, assert, until } from './steps.mjs';
import { ask, assertSame, bytes, branch, contents, fill, must } from './replicas.mjs';
const { base, tag, step, done } = script('browser');
const FLAGS = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'];
const remote = `${base}/${tag}`, copy = `${base}/${tag}_copy`, few = `${base}/${tag}_few`;
const scripts = {};
for (const [name, path] of Object.entries({ '/pouchdb.js': 'node_modules/pouchdb/dist/pouchdb.js', '/sync.mjs': '../../examples/offline-notes/sync.mjs', '/network.mjs': 'network.mjs' })) {
  scripts[name] = await readFile(fileURLToPath(new URL(path, import.meta.url)));
}
const pages = createServer((request, reply) => {
  const script = scripts[request.url];
  reply.writeHead(200, { 'content-type': script ? 'text/javascript' : 'text/html; charset=utf-8' });
  reply.end(script ?? '<!doctype html><title>page</title><script src="/pouchdb.js"></script>');
});
await new Promise((ok) => pages.listen(0, '127.0.0.1', ok));
const origin = `http://127.0.0.1:${pages.address().port}`;
const folder = await mkdtemp(join(tmpdir(), 'chromium-'));
let browser, page;

await step('the server lets pages of the origin in', async () => {
  const config = `${base}/_node/_local/_config`;
  await must(`${config}/cors/origins`, 'PUT', origin); await must(`${config}/cors/credentials`, 'PUT', 'true');
  await must(`${config}/chttpd/enable_cors`, 'PUT', 'true');
  await must(remote, 'PUT'); await must(copy, 'PUT');
});
await step('a page with PouchDB opens', async () => {
  browser = await chromium.launchPersistentContext(folder, { executablePath: process.env.CHROMIUM || '/usr/bin/chromium', args: FLAGS, headless: true });
  page = await browser.newPage();
  await page.goto(origin); assert.equal(await page.evaluate(() => typeof PouchDB), 'function');
});
await step('a pull brings every leaf, tombstone and attachment, and a push takes them on', async () => {
  await fill(remote);
  const written = await page.evaluate(async ([from, to]) => {
    window.db = new PouchDB('notes');
    const pulled = await db.replicate.from(from), pushed = await db.replicate.to(to);
    return [pulled.docs_written, pushed.docs_written];
  }, [remote, copy]);
  assert.ok(written.every((it) => it >= 126), `${written}`);
  assertSame(await contents(remote), await contents(copy), ['the server', 'its copy by way of the browser']);
});
await step('attachments made on the page arrive whole', async () => {
  await page.evaluate(async ([to, numbers]) => {
    const blob = new Blob([new Uint8Array(numbers)], { type: 'application/octet-stream' });
    await db.put({ _id: 'from-page', _attachments: { 'big.bin': { content_type: blob.type, data: blob } } });
    await db.replicate.to(to);
  }, [remote, [...bytes(9, 300_000)]]);
  const [leaf] = await must(`${remote}/from-page?open_revs=all&attachments=true`);
  assert.ok(Buffer.from(leaf.ok._attachments['big.bin'].data, 'base64').equals(bytes(9, 300_000)));
});
await step('live sync goes both ways, deletions too', async () => {
  await page.evaluate((url) => { window.sync = db.sync(url, { live: true, retry: true }); window.errors = []; sync.on('error', (e) => errors.push(String(e))).on('denied', (e) => errors.push(String(e.doc ?? e))); }, remote);
  await must(`${remote}/from-server`, 'PUT', { n: 1 });
  await until('the page has it', () => page.evaluate(() => db.get('from-server').then(() => true, () => false)));
  await page.evaluate(async () => { await db.put({ ...(await db.get('from-server')), n: 2 }); });
  await until('the server has the edit', async () => (await ask(`${remote}/from-server`)).json.n === 2);
  await page.evaluate(async () => { await db.remove(await db.get('from-server')); });
  await until('the server has the deletion', async () => (await ask(`${remote}/from-server`)).status === 404);
});
await step('a conflict has the same winner on the page', async () => {
  const parent = (await must(`${remote}/plain-5`))._rev.slice(2);
  await must(`${remote}/_bulk_docs`, 'POST', { new_edits: false, docs: ['1', '2'].map((it) => branch('plain-5', 2, [it.repeat(32), parent], { side: it })) });
  const seen = await until('the page has both leaves', async () => {
    const it = await page.evaluate(() => db.get('plain-5', { conflicts: true })); return it._conflicts?.length === 1 && it;
  });
  assert.equal(seen._rev, `2-${'2'.repeat(32)}`); assert.equal((await must(`${remote}/plain-5`))._rev, seen._rev);
});
await step('filters of every kind choose on the page too', async () => {
  const chosen = await page.evaluate(async (url) => {
    const all = { ids: { doc_ids: ['plain-1'] }, selector: { selector: { n: 7 } }, named: { filter: 'choice/kind', query_params: { kind: 'none' } }, view: { filter: '_view', view: 'choice/odd' } };
    const counts = {};
    for (const [name, options] of Object.entries(all)) {
      const some = new PouchDB(`some-${name}`); await some.replicate.from(url, options);
      counts[name] = (await some.info()).doc_count;
    }
    return counts;
  }, copy);
  assert.deepEqual({ ...chosen, view: chosen.view > 50 }, { ids: 1, selector: 1, named: 0, view: true });
});
await step('what waits when a network is cut still comes, with LiveSync', async () => {
  await must(few, 'PUT');
  for (const _id of ['one', 'two', 'three']) await must(few, 'POST', { _id });
  await page.evaluate(async (url) => {
    const [{ LiveSync }, { Network }] = await Promise.all([import('/sync.mjs'), import('/network.mjs')]);
    const network = new Network();
    window.late = new PouchDB('late');
    const far = new PouchDB(url, { skip_setup: true, fetch: network.through((...asked) => fetch(...asked)) });
    window.lasting = new LiveSync(late, far, { retryMs: 10, batch_size: 1, onDenied: (e) => errors.push(String(e)) });
    await network.cut;
    network.letOn();
  }, few);
  await until('all documents are there', () => page.evaluate(() => late.info().then((it) => it.doc_count === 3)));
  await page.evaluate(() => lasting.stop());
});
await step('nothing went wrong on the page', async () => {
  await page.evaluate(() => sync.cancel()); assert.deepEqual(await page.evaluate(() => errors), []);
});
await browser?.close(); await rm(folder, { recursive: true, force: true }); pages.close();
done();
