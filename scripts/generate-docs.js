// Writes what is generated (`npm run docs`). From the settings' schema: the JSON Schema, the page of the documentation, the
// example file. From the modules: the table of specifications and doap.xml. With --check it only says which of them are out of date.
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { exampleFile, jsonSchema, settingsPage } from '../src/config/document.ts';
import { findModules } from '../src/core/loader.ts';
import { readProofs } from './proofs.js';
import { restPage } from './rest-page.js';
import { doap, specificationsPage } from './specifications.js';

const at = (path) => fileURLToPath(new URL(`../${path}`, import.meta.url));
const found = await findModules(new URL('../src/modules/', import.meta.url));
const modules = new Map([...found].map(([name, { config }]) => [name, config]));

const files = {
  'config/parley.schema.json': `${JSON.stringify(jsonSchema(modules), null, 2)}\n`,
  'docs/configuration.md': settingsPage(modules),
  'config/parley.example.yaml': exampleFile(),
  'docs/specifications.md': specificationsPage(found, readProofs(new URL('../test/', import.meta.url))),
  'docs/rest.md': restPage(readFileSync(at('docs/rest.md'), 'utf8')),
  'doap.xml': doap(found, JSON.parse(readFileSync(at('package.json'), 'utf8'))),
};

const check = process.argv.includes('--check');
for (const [path, text] of Object.entries(files)) {
  let old = '';
  try {
    old = readFileSync(at(path), 'utf8');
  } catch {
    // not there yet
  }
  if (old === text) continue;
  if (check) {
    console.error(`${path} is out of date: run "npm run docs"`);
    process.exitCode = 1;
  } else {
    writeFileSync(at(path), text);
    console.log(`${path} written`);
  }
}
