// Prints one document a line: the country as the package has it, its three-letter code as id, its
// flag as an inline attachment.
//   node documents.mjs > countries.jsonl
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';

const folder = dirname(createRequire(import.meta.url).resolve('world-countries/package.json'));
const countries = JSON.parse(readFileSync(join(folder, 'countries.json'), 'utf8'));

const lines = countries.map((country) => {
  const flag = readFileSync(join(folder, 'data', `${country.cca3.toLowerCase()}.svg`));
  return JSON.stringify({
    _id: country.cca3,
    ...country,
    _attachments: { 'flag.svg': { content_type: 'image/svg+xml', data: flag.toString('base64') } },
  });
});
process.stdout.write(lines.join('\n') + '\n');
