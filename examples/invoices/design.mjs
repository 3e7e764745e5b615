// The design document, put together from the files in `design`.
import { readFileSync } from 'node:fs';

const file = (name) => readFileSync(new URL(`design/${name}`, import.meta.url), 'utf8');

/** A function's source, without the comment above it. */
const source = (name) => file(name).replace(/^(\/\/.*\n)+/, '').trimEnd();

export const design = {
  _id: '_design/invoices',
  views: {
    lib: { invoices: file('lib.js') },
    due: { map: source('due.js'), reduce: '_sum' },
    balance: { map: source('balance.js'), reduce: '_count' },
  },
  validate_doc_update: source('validate.js'),
  schemas: [{ selector: { type: 'invoice' }, schema: JSON.parse(file('schema.json')) }],
};
