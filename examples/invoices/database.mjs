// One database of a CouchDB-compatible server, with nothing but fetch.

export class Refused extends Error {
  constructor(status, { error, reason }) {
    super(`${status} ${error}: ${reason}`);
    Object.assign(this, { status, error, reason });
  }
}

export class Database {
  #url;
  #headers = { 'content-type': 'application/json', accept: 'application/json' };

  /** `url` may name a user: http://name:password@host:port/database */
  constructor(url) {
    const { username, password, origin, pathname } = new URL(url);
    this.#url = origin + pathname.replace(/\/$/, '');
    if (username) {
      const pair = `${decodeURIComponent(username)}:${decodeURIComponent(password)}`;
      this.#headers.authorization = `Basic ${Buffer.from(pair).toString('base64')}`;
    }
  }

  async ask(method, path = '', body = undefined) {
    const reply = await fetch(this.#url + path, {
      method, headers: this.#headers, body: body && JSON.stringify(body),
    });
    const found = await reply.json();
    if (!reply.ok) throw new Refused(reply.status, found);
    return found;
  }

  get(id, query = '') {
    return this.ask('GET', `/${encodeURIComponent(id)}${query}`);
  }

  async put(document) {
    const { rev } = await this.ask('PUT', `/${encodeURIComponent(document._id)}`, document);
    return { ...document, _rev: rev };
  }

  remove({ _id, _rev }) {
    return this.ask('DELETE', `/${encodeURIComponent(_id)}?rev=${_rev}`);
  }

  /** Writes many, and fails where one is refused. */
  async bulk(docs, newEdits = true) {
    const rows = await this.ask('POST', '/_bulk_docs', { docs, new_edits: newEdits });
    const refused = rows.find((row) => row.error);
    if (refused) throw new Refused(403, refused);
    return rows;
  }

  /** Winning versions of everything but design documents. */
  async all() {
    const { rows } = await this.ask('GET', '/_all_docs?include_docs=true');
    return rows.map(({ doc }) => doc).filter(({ _id }) => !_id.startsWith('_design/'));
  }

  async view(name, parameters = {}) {
    const query = new URLSearchParams(
      Object.entries(parameters).map(([key, value]) => [key, JSON.stringify(value)]));
    return (await this.ask('GET', `/_design/invoices/_view/${name}?${query}`)).rows;
  }
}
