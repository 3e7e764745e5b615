// Steps that fail today, each with the reason. A step that fails and is not here fails the run, and so
// does a step that is here and passes: then it has to leave the list.
export const expectedFailures = {
  'nano-smoke.mjs': {
    'view: map, reduce, group, keys, pagination': 'views are not there yet',
    'mango index, find, explain': 'Mango queries are not there yet',
    'replicate with create_target': 'replication by the server is not there yet',
  },
  'pouchdb-sync.mjs': {
    'filtered, doc_ids and selector replication': 'selectors and filter functions are not there yet',
  },
};
