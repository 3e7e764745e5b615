// Steps that fail today, each with the reason. A step that fails and is not here fails the run, and so
// does a step that is here and passes: then it has to leave the list.
export const expectedFailures = {
  'nano-smoke.mjs': {
    'replicate with create_target': 'replication by the server is not there yet',
  },
  'couchdb_python_smoke.py': {
    'replicate to a new database': 'replication by the server is not there yet',
  },
};
