// An exchange as it is sent, and what its answer says of it. No I/O: `docs/transactions.md` of the server has the form.

/**
 * The text of an exchange. Transactions are texts already, and go as they are: the server compares what comes again
 * with what came first.
 */
export function exchangeText({ client, mode, since, changesLimit, includeDocs }, transactions) {
  const members = [`"client":${JSON.stringify(client)}`, `"mode":${JSON.stringify(mode)}`];
  if (since !== undefined) {
    members.push(`"since":${JSON.stringify(since)}`, `"changes_limit":${changesLimit}`);
    if (includeDocs) members.push('"include_docs":true');
  }
  return `{${members.join(',')},"transactions":[${transactions.join(',')}]}`;
}

/**
 * What a reply means for the exchange with transactions of these ids, in order; one of
 * - `{ answer }`: it was understood, and every transaction has its outcome
 * - `{ again, afterMs }`: the same may do later, `afterMs` from now at the earliest
 * - `{ tooLarge }`: less at once may do
 * - `{ noRoom }`: there is no room for all of it; some of it may have room
 * - `{ blamed, error }`: the transaction of this place is the reason, and nothing was done
 * - `{ unclear }`: one of them is the reason, or the exchange is
 * - `{ refused }`: whoever asks may not, or there is nobody who could answer
 */
export function judge(reply, ids) {
  const { status, json } = reply;
  const error = errorOf(reply);
  if (status === 200) {
    const answered = json?.transactions;
    const whole = Array.isArray(answered) && answered.length === ids.length && answered.every(({ id }, at) => id === ids[at]);
    return whole ? { answer: json } : { again: { ...error, reason: 'the answer is not one to what was asked' } };
  }
  // With `Retry-After` it is said of all.
  if (status === 507 && ids.length > 0 && error.afterMs === 0) return { noRoom: error };
  if (isTemporary(status)) return { again: error, afterMs: error.afterMs };
  if (status === 413) return { tooLarge: error };
  if (status === 422 || status === 400) {
    const at = blamed(error, ids);
    return at === undefined ? { unclear: error } : { blamed: at, error };
  }
  return { refused: error };
}

/** Whether the same request may do later. */
export function isTemporary(status) {
  return status >= 500 || status === 429 || status === 408;
}

/** What a reply that is none of 200 says, and when to ask again. */
export function errorOf({ status, retryAfter, json }) {
  const error = { status, error: json?.error ?? 'unknown', reason: json?.reason ?? `the server answered with ${status}` };
  // It is of use to us alone.
  return Object.defineProperty(error, 'afterMs', { value: afterMs(retryAfter) });
}

/** The place of the transaction that a reason names: `transaction 3: …`, or the id that was used before. */
function blamed({ error, reason }, ids) {
  const [, place] = /^transaction (\d+): /.exec(reason) ?? [];
  if (place !== undefined && Number(place) < ids.length) return Number(place);
  if (error !== 'id_reused') return undefined;
  const at = ids.findIndex((id) => reason.includes(JSON.stringify(id)));
  return at < 0 ? undefined : at;
}

/** `Retry-After` in seconds, or as a date. */
function afterMs(text) {
  if (!text) return 0;
  const ms = /^\d+$/.test(text) ? Number(text) * 1000 : Date.parse(text) - Date.now();
  return Number.isFinite(ms) ? Math.max(0, ms) : 0;
}
