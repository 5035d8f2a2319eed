// Templates: `{romeo}` is a name known to the scene, `{any}` matches whatever is there, `{id: x}` and `{any: x}` also remember it;
// `{other than x}` is anything else; `{base64 \0romeo\0secret}` writes what SASL has to say, and `{proof of t by romeo}` what HT has
// to say with the token `t`; `{answer to t}` is what the server says to that. `{braces x}` is `{x}` itself.

import { createHmac } from 'node:crypto';

/** Names and what they stand for. */
export type Names = ReadonlyMap<string, string>;

const placeholder = /\{([^{}]*)\}/g;

const patterns: Readonly<Record<string, string>> = {
  any: '[\\s\\S]*',
  id: '[\\s\\S]+',
  number: '[0-9]+',
  // XEP-0082 3.2, in UTC
  time: '[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\\.[0-9]+)?Z',
};

/** Fills in names. @throws Error for a name that is not known, and for what only makes sense when matching */
export function fill(template: string, names: Names): string {
  return template.replace(placeholder, (_whole, name: string) => {
    const plain = /^base64 (.*)$/s.exec(name)?.[1];
    if (plain !== undefined) return Buffer.from(plain.replaceAll('\\0', '\0')).toString('base64');
    const braced = inBraces(name);
    if (braced !== undefined) return braced;
    const [, token, user] = /^proof of (\S+) by (\S+)$/.exec(name) ?? [];
    if (token === undefined) return known(name, names);
    return Buffer.concat([Buffer.from(`${user}\0`), tokenHash(known(token, names), 'Initiator')]).toString('base64');
  });
}

function inBraces(name: string): string | undefined {
  const text = /^braces (.*)$/s.exec(name)?.[1];
  return text === undefined ? undefined : `{${text}}`;
}

/** draft-schmaus-kitten-sasl-ht 3: without channel binding. */
function tokenHash(token: string, role: string): Buffer {
  return createHmac('sha256', token).update(role).digest();
}

/** Fills in what is known, and leaves the rest; for messages to people. */
export function fillKnown(template: string, names: Names): string {
  return template.replace(placeholder, (whole, name: string) => names.get(name) ?? whole);
}

function known(name: string, names: Names): string {
  const value = names.get(name);
  if (value === undefined) throw new Error(`{${name}} is not known here`);
  return value;
}

/**
 * Matches a text against a template.
 * @returns the names, with those that were remembered; undefined when it does not match
 */
export function matchText(template: string, text: string, names: Names): Names | undefined {
  if (!template.includes('{')) return template === text ? names : undefined;
  const captured: string[] = [];
  let source = '';
  let from = 0;
  for (const found of template.matchAll(placeholder)) {
    source += quoteRegExp(template.slice(from, found.index));
    from = found.index + found[0].length;
    const braced = inBraces(found[1]!);
    if (braced !== undefined) {
      source += quoteRegExp(braced);
      continue;
    }
    const [kind = '', capture] = found[1]!.split(/:\s*/);
    if (capture !== undefined) {
      captured.push(capture);
      source += `(${(patterns[kind] ?? unknownKind(kind)).replace('*', '+')})`;
    } else source += patterns[kind] ?? otherThan(kind, names) ?? quoteRegExp(known(kind, names));
  }
  const match = new RegExp(`^${source}${quoteRegExp(template.slice(from))}$`).exec(text);
  if (match === null) return undefined;
  return new Map([...names, ...captured.map((name, i): [string, string] => [name, match[i + 1]!])]);
}

/** `{answer to t}`, and `{other than x}`, which is anything but what `x` stands for; it makes sense at the beginning of a template only. */
function otherThan(kind: string, names: Names): string | undefined {
  const token = /^answer to (.+)$/.exec(kind)?.[1];
  if (token !== undefined) return quoteRegExp(tokenHash(known(token, names), 'Responder').toString('base64'));
  const name = /^other than (.+)$/.exec(kind)?.[1];
  return name === undefined ? undefined : `(?!${quoteRegExp(known(name, names))}$)[\\s\\S]+`;
}

function unknownKind(kind: string): never {
  throw new Error(`{${kind}: ...} is not a form of template`);
}

function quoteRegExp(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
}
