// settle-outbox on pages of a browser, which go offline, are loaded again and share what they gathered:
//   node outbox-browser.mjs BASE_URL
// $CHROMIUM is the browser, /usr/bin/chromium unless it is set.
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';
import { assertSame, branch, contents, must } from './replicas.mjs';
import { script, assert, until } from './steps.mjs';
const { base, tag, step, done } = script('outbox-browser');
const FLAGS = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'];
const remote = `${base}/${tag}`, copy = `${base}/${tag}_copy`;
const pouchdb = fileURLToPath(new URL('node_modules/pouchdb/dist/pouchdb.js', import.meta.url));
const outbox = fileURLToPath(new URL('../../clients/settle-outbox', import.meta.url));
const PAGE = `<!doctype html><title>page</title><script src="/pouchdb.js"></script><script type="module">
import { Outbox } from '/outbox/index.js';
const told = JSON.parse(localStorage.told ?? '[]');
window.begin = async (url, options) => {
  window.box = await Outbox.open(url, { name: 'till', backoffFirstMs: 50, backoffMaxMs: 400, ...options });
  box.on('outcome', ({ id }) => { told.push(id); localStorage.told = JSON.stringify(told); });
};
window.inc = (n = 1) => ({ writes: [{ id: 'c', ops: [{ inc: { field: 'n', by: n } }] }] });
</script>`;
const pages = createServer(async ({ url }, reply) => {
  const file = url === '/pouchdb.js' ? pouchdb : url.startsWith('/outbox/') ? join(outbox, url.slice('/outbox/'.length)) : null;
  reply.writeHead(200, { 'content-type': file ? 'text/javascript' : 'text/html; charset=utf-8' });
  reply.end(file ? await readFile(file) : PAGE);
});
await new Promise((ok) => pages.listen(0, '127.0.0.1', ok));
const origin = `http://127.0.0.1:${pages.address().port}`;
const folder = await mkdtemp(join(tmpdir(), 'chromium-'));
let browser, page;
async function open(options, target = undefined) {
  const tab = target ?? (await browser.newPage());
  await tab.goto(origin);
  await tab.waitForFunction(() => window.inc);
  await tab.evaluate(([url, options]) => begin(url, options), [remote, options]);
  return tab;
}
const n = async () => (await must(`${remote}/c`)).n;
const pending = (tab) => tab.evaluate(() => box.pending());
const told = (tab) => tab.evaluate(() => JSON.parse(localStorage.told ?? '[]'));
const gathered = [];

await step('the server lets pages of the origin in', async () => {
  const config = `${base}/_node/_local/_config`;
  await must(`${config}/cors/origins`, 'PUT', origin); await must(`${config}/cors/credentials`, 'PUT', 'true');
  await must(`${config}/chttpd/enable_cors`, 'PUT', 'true');
  await must(remote, 'PUT'); await must(`${remote}/c`, 'PUT', { n: 0 });
});
await step('a page without a network gathers transactions', async () => {
  browser = await chromium.launchPersistentContext(folder, { executablePath: process.env.CHROMIUM || '/usr/bin/chromium', args: FLAGS, headless: true });
  page = await open();
  await browser.setOffline(true);
  gathered.push(...await page.evaluate(async () => (await Promise.all(Array.from({ length: 700 }, () => box.add(inc())))).map(({ id }) => id)));
  await page.waitForFunction(() => box.status.state === 'waiting');
  assert.deepEqual([(await pending(page)).length, await n()], [700, 0]);
});
await step('and sends them in bulk when it is back', async () => {
  let requests = 0;
  page.on('request', (it) => { if (it.method() === 'POST' && it.url().endsWith('/_transact')) requests += 1; });
  await browser.setOffline(false);
  await page.evaluate(() => box.sync());
  assert.equal(await n(), 700);
  assert.ok(requests < 20, `${requests} requests`);
});
await step('a page that is loaded again between sending and the answer asks again, and all is made once', async () => {
  await until('all that were sent are reported', async () => (await told(page)).length === gathered.length);
  let swallowed;
  const arrived = new Promise((heard) => { swallowed = heard; });
  await page.route('**/_transact', async (route) => {
    if (route.request().method() !== 'POST') return route.continue();
    await route.fetch(); // the server has answered, and the page will not hear it
    swallowed();
    return route.abort().catch(() => {});
  });
  gathered.push(...await page.evaluate(async () => (await Promise.all([1, 2, 3].map(() => box.add(inc(100))))).map(({ id }) => id)));
  await arrived;
  const before = await pending(page);
  assert.ok(before.length > 0);
  await page.unroute('**/_transact');
  await open({}, page);
  const outcomes = await page.evaluate((ids) => Promise.all(ids.map((id) => box.outcome(id))), before);
  assert.ok(outcomes.every(({ accepted }) => accepted));
  await page.evaluate(() => box.sync());
  assert.equal(await n(), 1000);
});
await step('each outcome was reported once, over all loads of the page', async () => {
  await until('all are reported', async () => (await told(page)).length >= gathered.length);
  await open({}, page);
  await page.evaluate(() => box.sync());
  assert.deepEqual((await told(page)).sort(), [...gathered].sort());
  await page.evaluate((ids) => box.forget(...ids), gathered);
  assert.deepEqual(await page.evaluate(() => box.outcomes()), []);
});
await step('two pages take turns in sending what both gathered, and each hears of its own', async () => {
  const other = await open();
  let open_ = 0, together = 0, sent = 0;
  await browser.route('**/_transact', async (route) => {
    if (route.request().method() !== 'POST') return route.continue();
    together = Math.max(together, ++open_);
    sent += route.request().postDataJSON().transactions.length;
    const response = await route.fetch();
    await new Promise((tick) => setTimeout(tick, 30));
    open_ -= 1;
    return route.fulfill({ response });
  });
  const outcomes = await Promise.all([page, other].map((tab) => tab.evaluate(async () => {
    const added = [];
    for (let at = 0; at < 20; at++) added.push(await box.add(inc()));
    return Promise.all(added.map(({ outcome }) => outcome));
  })));
  await browser.unroute('**/_transact');
  assert.ok(outcomes.flat().every(({ accepted }) => accepted));
  assert.deepEqual([together, sent, await n()], [1, 40, 1040]);
  await other.close();
});
await step('a PouchDB on the page is given what others changed, and replicates on from there', async () => {
  await must(`${remote}/_bulk_docs`, 'POST', { docs: Array.from({ length: 120 }, (_, at) => ({ _id: `doc-${at}`, at })) });
  await must(`${remote}/letter`, 'PUT', { _attachments: { 'a.txt': { content_type: 'text/plain', data: 'aGVsbG8=' } } });
  const parent = (await must(`${remote}/doc-2`))._rev.slice(2);
  await must(`${remote}/_bulk_docs`, 'POST', { new_edits: false, docs: ['1', '2'].map((it) => branch('doc-2', 2, [it.repeat(32), parent], { side: it })) });
  await must(`${remote}/doc-3?rev=${(await must(`${remote}/doc-3`))._rev}`, 'DELETE');
  await must(copy, 'PUT');
  const [before, pulled, pushed] = await page.evaluate(async ([url, to]) => {
    await box.close();
    const pouch = new PouchDB('notes');
    await begin(url, { pouch, changesLimit: 50 });
    await box.add({ writes: [{ id: 'mine', put: { by: 'page' } }, { id: 'doc-4', ops: [{ inc: { field: 'at' } }] }] });
    await box.sync();
    const before = (await pouch.allDocs()).rows.length;
    const pulled = await pouch.replicate.from(url), pushed = await pouch.replicate.to(to);
    return [before, pulled.docs_written, pushed.docs_written];
  }, [remote, copy]);
  assert.deepEqual([before, pulled, pushed], [122, 0, 124]);
  assertSame(await contents(remote), await contents(copy), ['the server', 'its copy by way of the page']);
});
await browser?.close(); await rm(folder, { recursive: true, force: true }); pages.close();
done();
