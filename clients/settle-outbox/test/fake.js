// A server that answers as it is told, for tests of the client alone.
import { MemoryStore, Outbox } from '../index.js';

/** `answer(exchange, at)` gives `[status, json, headers]`, text for a reply that is cut, or an error for none. */
export function fake(answer) {
  const exchanges = [], texts = [];
  const fetch = async (url, { body, headers }) => {
    const exchange = JSON.parse(body);
    exchanges.push({ url, headers, ...exchange });
    texts.push(body);
    const reply = await answer(exchange, exchanges.length - 1);
    if (reply instanceof Error) throw reply;
    if (typeof reply === 'string') return new Response(reply);
    const [status, json, extra] = reply;
    return new Response(JSON.stringify(json), { status, headers: extra });
  };
  return { fetch, exchanges, texts };
}

export const accepted = ({ id }) => ({ id, accepted: true, revs: {} });

/** Accepts all. */
export const yes = ({ transactions }) => [200, { seq: '1-t', transactions: transactions.map(accepted) }];

export const lost = () => new TypeError('fetch failed');

/** An outbox that waits for nothing long. */
export function outbox(server, options = {}) {
  const { fetch } = server;
  return Outbox.open('http://ada:pa%C3%9F@host/shop', { store: new MemoryStore(), fetch, backoffFirstMs: 1, backoffMaxMs: 5, ...options });
}

export const ids = ({ transactions }) => transactions.map(({ id }) => id);

export const write = (n) => ({ writes: [{ id: 'a', ops: [{ inc: { field: 'n', by: n } }] }] });
