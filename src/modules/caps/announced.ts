// What presence says of its sender's capabilities: <c/> of XEP-0115 4, or of XEP-0390 5.4, which is preferred where there are both. Pure.
import { type Element, Element as XmlElement } from '../../xml/element.ts';
import { caps2Node, isHashFunction } from '../../xmpp/caps.ts';
import { NS } from '../../xmpp/ns.ts';

/** What somebody says of his capabilities, before it is known whether that is true. */
export interface Announced {
  /** The same for all who announce the same; no longer than what a hash takes. */
  readonly key: string;
  readonly version: 1 | 2;
  readonly algorithm: string;
  /** The hash, in base64. */
  readonly hash: string;
  /** The disco node that stands for it, if there is one. */
  readonly node: string | undefined;
  /** Whether a hash of this kind can be computed here: only then it means the same from everybody (XEP-0115 5.4). */
  readonly isVerifiable: boolean;
  /** The language in force around the announcement, which may be in the hash of XEP-0390 (4.1). */
  readonly lang: string | undefined;
}

// Of the hash functions of XEP-0390 that are known here, the first that is announced counts, so that clients with the same
// capabilities have the same key. (SHA-1 is not to be used there, XEP-0300 4.)
const functions2 = ['sha-256', 'sha3-256', 'sha-512', 'sha3-512', 'sha-384', 'sha-224'];

/** No hash is longer than SHA-512's. */
const base64 = /^[A-Za-z0-9+/]{16,88}={0,2}$/;
/** Names of hash functions, also of those that are not known here. */
const functionName = /^[a-z0-9][a-z0-9._-]{0,31}$/;
/** Of the client's name for itself, which the question repeats. */
const LONGEST_NODE = 1023;

/** Undefined where presence says nothing, or nothing that anybody could check: the legacy format without a hash too (XEP-0115 10). */
export function announcedBy(presence: Element): Announced | undefined {
  let old: Element | undefined;
  let unknown: Announced | undefined;
  const { children } = presence;
  for (const child of children) {
    if (!(child instanceof XmlElement) || child.name !== 'c') continue;
    if (child.ns === NS.caps2) {
      const announced = readCaps2(child, presence.attrs['xml:lang']);
      if (announced?.isVerifiable) return announced;
      unknown ??= announced;
    } else if (child.ns === NS.caps) old ??= child;
  }
  const announced = old && readCaps(old);
  return announced?.isVerifiable ? announced : (unknown ?? announced);
}

function readCaps({ attrs }: Element): Announced | undefined {
  const { hash: algorithm, node, ver: hash } = attrs;
  // 10: what has no `hash` is of the legacy format, which proves nothing
  if (algorithm === undefined || node === undefined || hash === undefined) return undefined;
  if (!functionName.test(algorithm) || !base64.test(hash) || node.length > LONGEST_NODE) return undefined;
  const isVerifiable = isHashFunction(algorithm);
  // 6.2
  return {
    key: `${algorithm}.${hash}`,
    version: 1,
    algorithm,
    hash,
    node: `${node}#${hash}`,
    isVerifiable,
    lang: undefined,
  };
}

function readCaps2(c: Element, lang: string | undefined): Announced | undefined {
  const hashes = c.getChildren('hash', NS.hashes);
  for (const wanted of functions2) {
    const found = hashes.find(({ attrs }) => attrs.algo === wanted);
    const hash = found?.getText().trim();
    if (hash === undefined || !base64.test(hash)) continue;
    const key = `2#${wanted}.${hash}`;
    return { key, version: 2, algorithm: wanted, hash, node: caps2Node(wanted, hash), isVerifiable: true, lang };
  }
  for (const one of hashes) {
    const { algo = '' } = one.attrs;
    const hash = one.getText().trim();
    if (!functionName.test(algo) || !base64.test(hash)) continue;
    // XEP-0390 6.2.1: without a hash that can be looked up the plain question is asked
    return { key: `2#${algo}.${hash}`, version: 2, algorithm: algo, hash, node: undefined, isVerifiable: false, lang };
  }
  return undefined;
}
