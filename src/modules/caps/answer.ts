// What an answer to a question for capabilities is worth (XEP-0115 5.4, XEP-0390 4.4). Pure.

import type { Element } from '../../xml/element.ts';
import { flatten } from '../../xml/flatten.ts';
import { caps2Hash, verifyCaps } from '../../xmpp/caps.ts';
import { NS } from '../../xmpp/ns.ts';
import type { Announced } from './announced.ts';

/** Characters of XML: what clients say of themselves takes two to six thousand. */
const LONGEST_ANSWER = 65_536;
const MOST_FEATURES = 1000;
/** Features of somebody whose word counts for him alone go into the directory with him. */
const LONGEST_OWN = 4096;

/**
 * The features that an answer proves, or that it claims where nothing can be proved; undefined for what is not what was announced, is
 * ill-formed, or is too much.
 * @param lang the language of the answer's stanza
 */
export function featuresIn(
  query: Element,
  announced: Announced,
  lang: string | undefined,
): readonly string[] | undefined {
  if (!query.is('query', NS.discoInfo) || query.children.length > 2 * MOST_FEATURES) return undefined;
  if (query.toXml().length > LONGEST_ANSWER) return undefined;
  if (announced.isVerifiable && !isTrue(query, announced, lang)) return undefined;
  const features = new Set<string>();
  for (const { attrs } of query.getChildren('feature', NS.discoInfo)) {
    if (attrs.var !== undefined && attrs.var !== '' && features.size < MOST_FEATURES) features.add(flatten(attrs.var));
  }
  return [...features];
}

function isTrue(
  query: Element,
  { version, algorithm, hash, lang: around }: Announced,
  lang: string | undefined,
): boolean {
  if (version === 1) return verifyCaps(query, algorithm, hash) === 'valid';
  // 4.1: the language that is in force for the client is that of the stanza or of its stream, of which an IQ does not tell
  return [lang, around, ''].some((one) => one !== undefined && caps2Hash(query, algorithm, one) === hash);
}

/**
 * What is kept of somebody whose announcement cannot be checked, for him alone (XEP-0115 5.4, 2.3); undefined where it is too much. What it
 * begins with is what was announced.
 */
export function ownValue(key: string, features: readonly string[]): string | undefined {
  const usable = features.filter((feature) => !feature.includes('\n'));
  const value = `!${key}\n${usable.join('\n')}`;
  return value.length > LONGEST_OWN ? undefined : value;
}

/** Whether a value tells of one alone what was announced under this key. */
export function isOwnValue(value: string, key: string): boolean {
  return value.startsWith('!') && value.startsWith(key, 1) && value.charAt(key.length + 1) === '\n';
}

/** The features in such a value; undefined for what is a key that many may have. */
export function ownFeatures(value: string): readonly string[] | undefined {
  return value.startsWith('!')
    ? value
        .split('\n')
        .slice(1)
        .filter((feature) => feature !== '')
    : undefined;
}
