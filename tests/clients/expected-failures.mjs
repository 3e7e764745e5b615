// Steps that fail today, each with the reason. A step that fails and is not here fails the run, and so
// does a step that is here and passes: then it has to leave the list. A script that runs several times may
// have a list for one of its runs, under the name that the run has.
export const expectedFailures = {
  'replication.mjs with express-pouchdb': {
    'push: an attachment that is kept compressed arrives': 'it does not heed Content-Encoding, with which CouchDB sends them too',
    'pull: only what passes selector': 'it has no filter by selector',
    'pull: only what passes design documents': 'it takes the filter for a function of a design document',
  },
};
