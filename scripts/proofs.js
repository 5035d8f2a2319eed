// Which scenarios and tests prove a specification: those that name it in the comment at their head; where there are none, the
// scenarios in which a comment opens with it, and the tests that have it in a title. Nothing is listed by hand.
import { readdirSync, readFileSync } from 'node:fs';

/** RFCs and XEPs that a text names, as `RFC 6120` and `XEP-0199`. */
function namedIn(text) {
  const rfcs = [...text.matchAll(/\bRFC ?(\d+)/g)].map((found) => `RFC ${found[1]}`);
  return [...rfcs, ...[...text.matchAll(/\bXEP-\d{4}\b/g)].map((found) => found[0])];
}

/** The comment lines that a file begins with. */
function headOf(source, mark) {
  const lines = source.split('\n');
  const end = lines.findIndex((line) => !line.startsWith(mark));
  return lines.slice(0, end < 0 ? lines.length : end).join('\n');
}

function add(map, path, names) {
  for (const name of new Set(names)) map.set(name, [...(map.get(name) ?? []), path]);
}

/**
 * @param folder the folder of tests, a URL that ends with a slash
 * @returns the paths below it, by `RFC n` and `XEP-nnnn`; those of a specification in order, scenarios first
 */
export function readProofs(folder) {
  const heads = new Map();
  const comments = new Map();
  const paths = readdirSync(folder, { recursive: true }).map((path) => path.replaceAll('\\', '/'));
  for (const path of paths.filter((one) => one.endsWith('.scenario')).sort()) {
    const source = readFileSync(new URL(path, folder), 'utf8');
    add(heads, path, namedIn(headOf(source, '#')));
    const opening = source.split('\n').filter((line) => /^\s*#\s*(RFC|XEP)/.test(line));
    add(comments, path, namedIn(opening.join('\n')));
  }
  for (const path of paths.filter((one) => one.endsWith('.test.ts')).sort()) {
    const source = readFileSync(new URL(path, folder), 'utf8');
    add(heads, path, namedIn(headOf(source, '//')));
    const titles = source.split('\n').filter((line) => /^\s*(describe|it|test)(\.\w+)?\(/.test(line));
    add(comments, path, namedIn(titles.join('\n')));
  }
  return new Map([...comments, ...heads]);
}

/** As links in a table of docs/, by their names without the endings. */
export function proofLinks(paths) {
  return paths.map((path) => `[${nameOf(path)}](../test/${path})`).join(', ');
}

const nameOf = (path) => path.replace(/^scenarios\//, '').replace(/\.(scenario|test\.ts)$/, '');
