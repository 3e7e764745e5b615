// The database of a person, synced by two devices and seen by nobody else: PouchDB at /~name/notes.
// node pouchdb-account.mjs BASE_URL, whose credentials are those of an administrator
import PouchDB from 'pouchdb';
import memory from 'pouchdb-adapter-memory';
import { randomBytes } from 'node:crypto';
import { script, assert, until } from './steps.mjs';
PouchDB.plugin(memory);
const { base, tag, step, done } = script('pouchdb-account');
const site = new URL(base);
const basic = (user, password) => 'Basic ' + Buffer.from(`${user}:${password}`).toString('base64');
const admin = basic(decodeURIComponent(site.username), decodeURIComponent(site.password));
const ada = { name: `${tag}@example.org`, password: randomBytes(12).toString('hex') };
const eve = { name: `${tag}/Eve`, password: randomBytes(12).toString('hex') };
const home = (owner) => `${site.origin}/~${encodeURIComponent(owner.name)}`;
// as that person, wherever the path leads
const ask = (who, method, url, body) => fetch(url, {
  method,
  headers: { authorization: who === 'admin' ? admin : basic(who.name, who.password), 'content-type': 'application/json' },
  body: body === undefined ? undefined : JSON.stringify(body),
});
const remote = (who, url, options = {}) => new PouchDB(url, { auth: { username: who.name, password: who.password }, ...options });
const get = (db, id) => db.get(id).catch((e) => (e.status === 404 ? null : Promise.reject(e)));
const notes = `${home(ada)}/notes`;
const devices = ['phone', 'laptop'].map((device) => new PouchDB(`${tag}_${device}`, { adapter: 'memory' }));
const [phone, laptop] = devices;
const errors = [];
let syncs = [];

await step('two people have accounts', async () => {
  for (const { name, password } of [ada, eve]) {
    const user = { type: 'user', name, roles: [], password };
    const reply = await ask('admin', 'PUT', `${site.origin}/_users/org.couchdb.user:${encodeURIComponent(name)}`, user);
    assert.equal(reply.status, 201, await reply.text());
  }
});
await step('the first device makes the database, and both sync it live', async () => {
  syncs = devices.map((device, i) => device
    .sync(remote(ada, notes, { skip_setup: i !== 0 }), { live: true, retry: true, back_off_function: () => 250 })
    .on('error', (e) => errors.push(e.message)).on('denied', (e) => errors.push(`denied ${e.message}`)));
  await phone.put({ _id: 'list', of: 'phone' });
  await until('the laptop has it', async () => get(laptop, 'list'));
});
await step('what the other device changes comes back', async () => {
  await laptop.put({ ...(await laptop.get('list')), of: 'laptop', _attachments: { 'note.txt': { content_type: 'text/plain', data: Buffer.from('secret words') } } });
  await until('the phone has it', async () => (await get(phone, 'list'))?.of === 'laptop');
  assert.equal((await phone.getAttachment('list', 'note.txt')).toString(), 'secret words');
});
await step('the owner sees the database in the account and nothing of the site', async () => {
  const welcome = await (await ask(ada, 'GET', `${home(ada)}/`)).json();
  assert.equal(welcome.couchdb, 'Welcome'); assert.match(welcome.uuid, /^[0-9a-f]{32}$/);
  assert.deepEqual(await (await ask(ada, 'GET', `${home(ada)}/_all_dbs`)).json(), ['notes']);
  assert.equal((await (await ask(ada, 'GET', `${home(ada)}/_session`)).json()).userCtx.name, ada.name);
  assert.equal((await ask(ada, 'GET', `${site.origin}/_all_dbs`)).status, 403);
});
await step('for the other person there is nothing, by whatever way they look', async () => {
  for (const [method, path, body] of [
    ['GET', '/'], ['GET', '/_all_dbs'], ['GET', '/_dbs_info'], ['POST', '/_dbs_info', { keys: ['notes'] }],
    ['GET', '/_db_updates'], ['GET', '/_uuids'], ['PUT', '/notes'], ['PUT', '/others'], ['DELETE', '/notes'],
    ['GET', '/notes'], ['GET', '/notes/list'], ['PUT', '/notes/list', {}], ['PUT', '/notes/new', {}],
    ['DELETE', '/notes/list?rev=1-x'], ['GET', '/notes/list/note.txt'], ['GET', '/notes/_all_docs'],
    ['GET', '/notes/_changes'], ['GET', '/notes/_changes?feed=continuous'], ['POST', '/notes/_bulk_docs', { docs: [] }],
    ['POST', '/notes/_bulk_get', { docs: [{ id: 'list' }] }], ['POST', '/notes/_revs_diff', { list: ['1-x'] }],
    ['POST', '/notes/_find', { selector: {} }], ['GET', '/notes/_security'], ['PUT', '/notes/_security', {}],
    ['GET', '/notes/_local/x'], ['GET', '/notes/_design/x/_view/y'],
  ]) {
    const reply = await ask(eve, method, home(ada) + path, body);
    assert.equal(reply.status, 404, `${method} ${path}: ${reply.status}`);
    assert.deepEqual(await reply.json(), { error: 'not_found', reason: 'Database does not exist.' }, `${method} ${path}`);
  }
});
await step('nor for their PouchDB, in either direction', async () => {
  const is404 = (e) => { assert.equal(e.status, 404); return true; };
  await assert.rejects(remote(eve, notes, { skip_setup: true }).allDocs(), is404);
  await assert.rejects(remote(eve, notes).put({ _id: 'forged' }), is404);
  const stolen = new PouchDB(`${tag}_stolen`, { adapter: 'memory' });
  await assert.rejects(stolen.replicate.from(remote(eve, notes, { skip_setup: true })), is404);
  assert.equal((await stolen.info()).doc_count, 0);
  await stolen.put({ _id: 'forged' });
  await assert.rejects(stolen.replicate.to(remote(eve, notes, { skip_setup: true })), is404);
  await stolen.destroy();
  assert.equal(await get(phone, 'forged'), null);
});
await step('who is not signed in is asked to, whether it is there or not', async () => {
  for (const path of ['/notes', '/none']) assert.equal((await fetch(home(ada) + path)).status, 401);
});
await step('the other person has a database of the same name', async () => {
  const own = remote(eve, `${home(eve)}/notes`); await own.put({ _id: 'mine' });
  assert.deepEqual((await own.allDocs()).rows.map((row) => row.id), ['mine']);
  assert.equal(await get(phone, 'mine'), null);
});
await step('a suspended person is told why, and goes on where they were', async () => {
  const document = `${site.origin}/_users/org.couchdb.user:${encodeURIComponent(ada.name)}`;
  const suspend = async (suspended) => {
    const user = await (await ask('admin', 'GET', document)).json();
    const reply = await ask('admin', 'PUT', document, { ...user, suspended }); assert.equal(reply.status, 201);
  };
  await suspend('unpaid');
  const reply = await ask(ada, 'GET', notes); assert.equal(reply.status, 403);
  assert.match((await reply.json()).reason, /unpaid/);
  await suspend(undefined);
  await phone.put({ _id: 'after' });
  await until('the laptop has it', async () => get(laptop, 'after'));
});
for (const sync of syncs) sync.cancel();
await step('the owner takes the database away', async () => {
  assert.equal((await ask(ada, 'DELETE', notes)).status, 200);
  assert.deepEqual(await (await ask(ada, 'GET', `${home(ada)}/_all_dbs`)).json(), []);
});
done();
