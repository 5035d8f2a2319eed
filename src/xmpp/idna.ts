// Domainparts (RFC 7622 3.2): host names of LDH labels and IDNA2008 U-labels (RFC 5890, 5891, 5892), IP addresses.
import { isIPv6 } from 'node:net';
import { toASCII, toUnicode } from 'tr46';
import { inClass, isStreamSafe, mapCase, mapWidth } from './precis.ts';

const strict = { checkHyphens: true, checkBidi: true, checkJoiners: true, useSTD3ASCIIRules: true } as const;

/** Longer input cannot become a name of 253 octets: a code point costs one octet at least, and composes of four at most. */
const MAX_INPUT = 1023;
/** RFC 1035 2.3.4, without the root: octets, so code points too. */
const MAX_NAME = 253;

// RFC 5892 2.4: combining marks for symbols, musical and ancient musical symbols.
const ignorableBlocks = /[\u20D0-\u20FF\u{1D100}-\u{1D24F}]/u;

/**
 * Prepares a domainpart that is not a plain lower-case ASCII name: width and case mapping, NFC, A-labels to U-labels.
 * Nothing else is mapped: what UTS #46 would leave out or replace (soft hyphens, other dots, ligatures) is refused.
 */
export function prepareHost(text: string): string | undefined {
  if (text.startsWith('[')) return prepareIPv6(text);
  if (text.length > MAX_INPUT || !isStreamSafe(text)) return undefined;
  const mapped = mapCase(mapWidth(text)).normalize('NFC');
  // RFC 7622 3.2: the final dot of the root is stripped.
  const name = mapped.endsWith('.') ? mapped.slice(0, -1) : mapped;
  if (name.length > 2 * MAX_NAME) return undefined;
  const { domain, error } = toUnicode(name, strict);
  if (error) return undefined;
  const ascii = toASCII(domain, { ...strict, verifyDNSLength: true });
  if (ascii === null) return undefined;
  const given = name.split('.');
  const labels = domain.split('.');
  const encoded = ascii.split('.');
  if (given.length !== labels.length || encoded.length !== labels.length) return undefined;
  for (let i = 0; i < labels.length; i++) {
    const label = labels[i]!;
    // Either the U-label itself was given, or the one A-label it has (RFC 5890 2.3.2.1: the two are symmetric).
    if (given[i] !== label && given[i] !== encoded[i]) return undefined;
    // RFC 5892 3: what UTS #46 still lets through (symbols and the like), IDNA2008 does not.
    if (!inClass(label, 'identifier') || ignorableBlocks.test(label)) return undefined;
  }
  return domain;
}

// Zone identifiers mean something on one machine only: RFC 9844 took them out of RFC 7622.
function prepareIPv6(text: string): string | undefined {
  const address = text.slice(1, -1);
  return text.endsWith(']') && isIPv6(address) && !address.includes('%') ? text.toLowerCase() : undefined;
}

/** The name of a prepared domainpart in DNS and in certificates: A-labels in place of U-labels. */
export function domainToAscii(domain: string): string {
  return toASCII(domain, strict) ?? domain;
}
