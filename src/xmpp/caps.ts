// Entity capabilities: what a disco#info answer hashes to, and whether it is what was announced (XEP-0115, XEP-0390).
import { createHash } from 'node:crypto';
import type { Element } from '../xml/element.ts';
import { formTypeOf } from './dataform.ts';
import { NS } from './ns.ts';

// Names of the IANA registry of hash functions (XEP-0115 4, XEP-0300) and OpenSSL's for them.
const digests: Readonly<Record<string, string>> = {
  'sha-1': 'sha1',
  'sha-224': 'sha224',
  'sha-256': 'sha256',
  'sha-384': 'sha384',
  'sha-512': 'sha512',
  'sha3-256': 'sha3-256',
  'sha3-512': 'sha3-512',
};

function hash(algorithm: string, input: string | Buffer): string | undefined {
  const name = Object.hasOwn(digests, algorithm) ? digests[algorithm] : undefined;
  return name === undefined ? undefined : createHash(name).update(input).digest('base64');
}

/** Whether hashes of that function can be computed here. */
export function isHashFunction(algorithm: string): boolean {
  return Object.hasOwn(digests, algorithm);
}

// i;octet collation (RFC 4790 9.3): by the octets of UTF-8, which is not the order of UTF-16 code units.
function byOctets(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b));
}

/** What is hashed for XEP-0115; undefined for an answer that is ill-formed (5.1, 5.4). */
export function capsInput(query: Element): string | undefined {
  const identities = query.getChildren('identity', NS.discoInfo);
  const parts: string[] = [];
  const keys = identities.map(({ attrs }) => [
    attrs.category ?? '',
    attrs.type ?? '',
    attrs['xml:lang'] ?? '',
    attrs.name ?? '',
  ]);
  if (keys.some(([category, type]) => category === '' || type === '')) return undefined;
  keys.sort((a, b) => {
    const differing = a.findIndex((part, i) => part !== b[i]);
    return differing === -1 ? 0 : byOctets(a[differing]!, b[differing]!);
  });
  for (const key of keys) parts.push(key.join('/'));
  if (hasDuplicates(parts)) return undefined;

  const features = query.getChildren('feature', NS.discoInfo).map(({ attrs }) => attrs.var ?? '');
  if (hasDuplicates(features) || features.includes('')) return undefined;
  parts.push(...features.sort(byOctets));

  const forms = new Map<string, Element>();
  for (const x of query.getChildren('x', NS.dataForms)) {
    const fields = x.getChildren('field');
    const contexts = fields.filter(({ attrs }) => attrs.var === 'FORM_TYPE');
    const values = new Set(contexts.flatMap((context) => context.getChildren('value')).map((value) => value.getText()));
    // 5.4, 3.5: more than one context, or one context twice.
    if (values.size > 1) return undefined;
    // 5.4, 3.6: a form without a hidden context is passed over.
    const [formType] = values;
    if (formType === undefined || contexts.some(({ attrs }) => attrs.type !== 'hidden')) continue;
    if (forms.has(formType)) return undefined;
    forms.set(formType, x);
  }
  for (const [formType, x] of [...forms].sort(([a], [b]) => byOctets(a, b))) {
    parts.push(formType);
    const fields = x.getChildren('field').filter(({ attrs }) => attrs.var !== 'FORM_TYPE');
    for (const field of fields.sort((a, b) => byOctets(a.attrs.var ?? '', b.attrs.var ?? ''))) {
      parts.push(field.attrs.var ?? '');
      parts.push(
        ...field
          .getChildren('value')
          .map((value) => value.getText())
          .sort(byOctets),
      );
    }
  }
  // 5.1: a "<" that was escaped in the XML stays escaped here, else it would pass for the separator.
  return parts.map((part) => `${part.replaceAll('<', '&lt;')}<`).join('');
}

function hasDuplicates(values: readonly string[]): boolean {
  return new Set(values).size !== values.length;
}

/** The `ver` of XEP-0115 for a disco#info answer; undefined when it is ill-formed or the hash function not known. */
export function capsVer(query: Element, algorithm = 'sha-1'): string | undefined {
  const input = capsInput(query);
  return input === undefined ? undefined : hash(algorithm, input);
}

/**
 * What an answer is worth as the meaning of an announced `ver` (XEP-0115 5.4). Only what is `valid` may be believed of
 * others who announce the same; what is `unsupported` (an unknown hash function) may be kept for its sender alone.
 */
export function verifyCaps(query: Element, algorithm: string, ver: string): 'valid' | 'invalid' | 'unsupported' {
  if (!isHashFunction(algorithm)) return 'unsupported';
  return capsVer(query, algorithm) === ver ? 'valid' : 'invalid';
}

const SECTION = '\x1C';
const FORM = '\x1D';
const GROUP = '\x1E';
const UNIT = '\x1F';

/**
 * What is hashed for XEP-0390 (4.1); undefined for an answer that has no hash.
 * @param lang the `xml:lang` in force around the answer (that of the IQ or of the stream).
 */
export function caps2Input(query: Element, lang = ''): Buffer | undefined {
  const inherited = query.attrs['xml:lang'] ?? lang;
  const features: string[] = [];
  const identities: string[] = [];
  const forms: string[] = [];
  for (const child of query.elements()) {
    const { attrs } = child;
    if (child.is('feature', NS.discoInfo)) {
      features.push((attrs.var ?? '') + UNIT);
    } else if (child.is('identity', NS.discoInfo)) {
      const parts = [attrs.category ?? '', attrs.type ?? '', attrs['xml:lang'] ?? inherited, attrs.name ?? ''];
      identities.push(parts.map((part) => part + UNIT).join('') + GROUP);
    } else if (child.is('x', NS.dataForms)) {
      const form = formInput(child);
      if (form === undefined) return undefined;
      forms.push(form);
    } else return undefined;
  }
  return Buffer.from([features, identities, forms].map((list) => joined(list) + SECTION).join(''));
}

function formInput(x: Element): string | undefined {
  if (x.getChild('reported') !== undefined || x.getChild('item') !== undefined) return undefined;
  // XEP-0068, in forms of any type but "submit".
  if (x.attrs.type === 'submit' || formTypeOf(x) === undefined) return undefined;
  const fields = x.getChildren('field').map((field) => {
    const values = field.getChildren('value').map((value) => value.getText() + UNIT);
    return (field.attrs.var ?? '') + UNIT + joined(values) + GROUP;
  });
  return joined(fields) + FORM;
}

function joined(list: string[]): string {
  return list.sort(byOctets).join('');
}

/** The hash of XEP-0390 in base64; undefined when there is none or the hash function is not known. */
export function caps2Hash(query: Element, algorithm: string, lang?: string): string | undefined {
  const input = caps2Input(query, lang);
  return input === undefined ? undefined : hash(algorithm, input);
}

/** The disco node that stands for a hash (XEP-0390 4.3). */
export function caps2Node(algorithm: string, value: string): string {
  return `${NS.caps2}#${algorithm}.${value}`;
}

/** The hash that a disco node stands for, if it does (XEP-0390 4.3). */
export function parseCaps2Node(node: string): { readonly algorithm: string; readonly value: string } | undefined {
  const prefix = `${NS.caps2}#`;
  const dot = node.lastIndexOf('.');
  if (!node.startsWith(prefix) || dot <= prefix.length || dot === node.length - 1) return undefined;
  return { algorithm: node.slice(prefix.length, dot), value: node.slice(dot + 1) };
}
