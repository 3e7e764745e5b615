// When are databases equal? When they hold the same documents with the same winner, the same
// conflicts, and the same content.
import { isDeepStrictEqual } from 'node:util';

/** Waits for a condition, not for a time. */
export async function until(what, condition, { seconds = 60, poll_ms = 100 } = {}) {
  const end = Date.now() + seconds * 1000;
  let last;
  for (;;) {
    try {
      last = await condition();
      if (last === true) return;
    } catch (error) {
      last = error.message; // the server may be down for the moment
    }
    if (Date.now() > end) throw new Error(`never happened in ${seconds} s: ${what} (${last})`);
    await new Promise((resolve) => setTimeout(resolve, poll_ms));
  }
}

/**
 * id → what a reader sees of the document: winner, conflicts, content, attachments' names and types.
 * Digests and `revpos` are left out, since each replica has its own: a server digests the
 * compressed form of a text, and counts an attachment from the revision that brought it there.
 */
export async function picture(database) {
  const { rows } = await database.allDocs({ include_docs: true, conflicts: true });
  return new Map(rows.map(({ id, doc }) => {
    const { _attachments = {}, _conflicts = [], ...content } = doc;
    const attachments = Object.entries(_attachments)
      .map(([name, { content_type: type }]) => ({ name, type }))
      .sort((a, b) => (a.name < b.name ? -1 : 1));
    return [id, { content, conflicts: [..._conflicts].sort(), attachments }];
  }));
}

/** The ids on which any of the databases differs from the first. */
export async function differences(databases) {
  const [first, ...others] = await Promise.all(databases.map(picture));
  const ids = new Set([first, ...others].flatMap((one) => [...one.keys()]));
  return [...ids].filter((id) =>
    others.some((other) => !isDeepStrictEqual(first.get(id), other.get(id))));
}

/** Waits until all are equal. */
export function converged(databases) {
  return until('all databases are equal', async () => {
    const ids = await differences(databases);
    return ids.length === 0 || `${ids.length} documents differ: ${ids.slice(0, 5).join(' ')}`;
  });
}
