// Brings documents as the server has them into a PouchDB, with their ancestry.
//
// All leaves are fetched, so the PouchDB is as if it had replicated these documents: the same revisions, the same
// conflicts, the same winner. Its checkpoints are not touched. A replication that runs later looks at the same changes,
// and finds that nothing of them is missing.

/**
 * Merges these documents, of which the server may have none any more. `post(path, text)` is a request of the database;
 * gives what the PouchDB did not take.
 */
export async function merge(pouch, ids, post) {
  const leaves = await fetchLeaves(post, '?revs=true', ids.map((id) => ({ id })));
  const asked = {};
  for (const { _id, _rev } of leaves) (asked[_id] ??= []).push(_rev);
  const missing = await pouch.revsDiff(asked);
  const wanted = leaves.filter(({ _id, _rev }) => missing[_id]?.missing.includes(_rev));
  // Attachments come with the leaves that are new, and with no others.
  const [bare, laden] = [wanted.filter((leaf) => !leaf._attachments), wanted.filter((leaf) => leaf._attachments)];
  const named = laden.map(({ _id, _rev }) => ({ id: _id, rev: _rev }));
  const whole = named.length > 0 ? await fetchLeaves(post, '?revs=true&attachments=true', named) : [];
  const docs = [...bare, ...whole];
  if (docs.length === 0) return [];
  const rows = await pouch.bulkDocs(docs, { new_edits: false });
  return rows.filter((row) => row.error);
}

async function fetchLeaves(post, query, docs) {
  const { results } = await post(`/_bulk_get${query}`, JSON.stringify({ docs }));
  return results.flatMap(({ docs }) => docs.flatMap(({ ok }) => (ok ? [ok] : [])));
}
