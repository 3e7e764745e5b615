// Requests to one database.

/** There was no answer, or it was cut off. */
export class NoAnswer extends Error {}

export class Connection {
  #url;
  #options;
  #authorization;

  /** `url` may name a user: `https://name:password@host/database`. */
  constructor(url, options) {
    const parsed = new URL(url);
    const { username, password } = parsed;
    parsed.username = parsed.password = '';
    if (username) this.#authorization = basic(decodeURIComponent(username), decodeURIComponent(password));
    this.#url = parsed.href.replace(/\/$/, '');
    this.#options = options;
  }

  get url() {
    return this.#url;
  }

  /** The status, `Retry-After`, and the JSON of a whole answer; else `NoAnswer`. */
  async post(path, body, closing) {
    const { fetch = globalThis.fetch, credentials, timeoutMs } = this.#options;
    const stop = new AbortController();
    const abort = () => stop.abort();
    let timer;
    const wait = () => {
      clearTimeout(timer);
      timer = setTimeout(abort, timeoutMs);
    };
    wait();
    closing.addEventListener('abort', abort);
    try {
      if (closing.aborted) abort();
      const headers = await this.#headers();
      const reply = await fetch(this.#url + path, { method: 'POST', headers, body, credentials, signal: stop.signal });
      const text = await read(reply, wait);
      return { status: reply.status, retryAfter: reply.headers.get('retry-after'), json: parse(text, reply.status) };
    } catch (error) {
      throw error instanceof NoAnswer ? error : new NoAnswer(reason(error, stop.signal.aborted), { cause: error });
    } finally {
      clearTimeout(timer);
      closing.removeEventListener('abort', abort);
    }
  }

  async #headers() {
    const { headers } = this.#options;
    const own = { 'content-type': 'application/json', accept: 'application/json' };
    if (this.#authorization) own.authorization = this.#authorization;
    return { ...own, ...(typeof headers === 'function' ? await headers() : headers) };
  }
}

/** A long answer may take its time, as long as it comes. */
async function read(reply, progress) {
  if (!reply.body) return reply.text();
  const reader = reply.body.getReader(), decoder = new TextDecoder();
  for (let text = ''; ;) {
    progress();
    const { done, value } = await reader.read();
    text += decoder.decode(value, { stream: !done });
    if (done) return text;
  }
}

/** What is no JSON is a page of something between us and the server; with 200, it was no answer. */
function parse(text, status) {
  try {
    return JSON.parse(text);
  } catch (error) {
    if (status === 200) throw new NoAnswer('the answer was cut off, or is no JSON', { cause: error });
    return null;
  }
}

function reason(error, wasAborted) {
  if (wasAborted) return 'no answer in time';
  return [error?.message, error?.cause?.code ?? error?.cause?.message].filter(Boolean).join(': ') || String(error);
}

function basic(name, password) {
  const bytes = new TextEncoder().encode(`${name}:${password}`);
  return `Basic ${btoa(String.fromCharCode(...bytes))}`;
}
