// What a certificate says of its own limits, and node:crypto does not tell (RFC 5280 4.2): what it may be used for, how many authorities
// may follow it, for which names they may speak.
import { isIP } from 'node:net';
import { type CertificateNames, certificateDomain, certificateExtensions, ipOctets } from './cert-names.ts';
import { type Der, readAll, readDer, readOid, Tag } from './der.ts';

export interface CertificateLimits {
  /** How many authorities may stand between it and the last certificate; Infinity where it does not say. */
  readonly pathLength: number;
  /** Whether it may be shown in TLS, by a server or by a client: a server of XMPP is both. */
  readonly isForTls: boolean;
  /** It has an extension that must be understood, and is not. */
  readonly isStrange: boolean;
  /** Its signature can be forged (MD5, SHA-1). */
  readonly hasWeakSignature: boolean;
  /** Whether certificates below it may have such names (RFC 5280 4.2.1.10). */
  permits(names: CertificateNames): boolean;
}

const oids = {
  basicConstraints: '2.5.29.19',
  extendedKeyUsage: '2.5.29.37',
  nameConstraints: '2.5.29.30',
} as const;

/** Extensions that are understood, or mean nothing for what we ask. */
const known: ReadonlySet<string> = new Set([
  ...Object.values(oids),
  // key identifiers, key usage, alternative names, policies and their constraints, revocation lists, issuer's names
  ...['14', '35', '15', '17', '18', '32', '33', '36', '54', '31', '46'].map((arc) => `2.5.29.${arc}`),
]);

/** serverAuth, clientAuth, any. */
const usages: ReadonlySet<string> = new Set(['1.3.6.1.5.5.7.3.1', '1.3.6.1.5.5.7.3.2', '2.5.29.37.0']);

/** By MD2, MD5 and SHA-1, with RSA, ECDSA and DSA. What OpenSSL does not know it does not verify either. */
const weakSignatures: ReadonlySet<string> = new Set([
  '1.2.840.113549.1.1.2',
  '1.2.840.113549.1.1.4',
  '1.2.840.113549.1.1.5',
  '1.2.840.10045.4.1',
  '1.2.840.10040.4.3',
]);

/** @throws RangeError when it is no certificate */
export function certificateLimits(certificate: Buffer): CertificateLimits {
  const extensions = certificateExtensions(certificate);
  const read = (oid: string): Buffer | undefined => extensions.find((one) => one.oid === oid)?.value;
  const usage = read(oids.extendedKeyUsage);
  const constraints = read(oids.nameConstraints);
  return {
    pathLength: pathLengthOf(read(oids.basicConstraints)),
    isForTls:
      usage === undefined || readAll(readDer(usage).content).some(({ content }) => usages.has(readOid(content))),
    isStrange: extensions.some(({ oid, isCritical }) => isCritical && !known.has(oid)),
    hasWeakSignature: isWeak(certificate),
    permits: constraints === undefined ? () => true : nameConstraints(constraints),
  };
}

function pathLengthOf(value: Buffer | undefined): number {
  const length = value && readAll(readDer(value).content).find(({ tag }) => tag === Tag.integer);
  if (length === undefined) return Number.POSITIVE_INFINITY;
  return length.content.length > 4
    ? Number.POSITIVE_INFINITY
    : Number.parseInt(`0${length.content.toString('hex')}`, 16);
}

function isWeak(certificate: Buffer): boolean {
  const [, algorithm] = readAll(readDer(certificate).content);
  const [id] = readAll(algorithm?.content ?? Buffer.alloc(0));
  return id === undefined || weakSignatures.has(readOid(id.content));
}

// Context tags: of NameConstraints, and of GeneralName.
const PERMITTED = 0xa0;
const EXCLUDED = 0xa1;
const DNS_NAME = 0x82;
const IP_ADDRESS = 0x87;

function nameConstraints(value: Buffer): (names: CertificateNames) => boolean {
  const parts = readAll(readDer(value).content);
  const basesOf = (wanted: number): readonly Der[] =>
    parts
      .filter(({ tag }) => tag === wanted)
      .flatMap(({ content }) => readAll(content))
      .map(({ content }) => readDer(content));
  const permitted = basesOf(PERMITTED);
  const excluded = basesOf(EXCLUDED);
  return (names) => {
    // names of XMPP are names of DNS in another form: they must not be a way around
    const domains = [
      ...names.dns,
      ...names.xmppAddr.map(certificateDomain),
      ...names.srv.map((name) => name.replace(/^_[^.]*\./, '')),
    ];
    return (
      allows(domains, DNS_NAME, permitted, excluded, isBelow, reaches) &&
      allows(names.ip, IP_ADDRESS, permitted, excluded, isInNet, isInNet)
    );
  };
}

function allows(
  names: readonly string[],
  type: number,
  permitted: readonly Der[],
  excluded: readonly Der[],
  isWithin: (name: string, base: Buffer) => boolean,
  touches: (name: string, base: Buffer) => boolean,
): boolean {
  const basesIn = (list: readonly Der[]): Buffer[] =>
    list.filter(({ tag }) => tag === type).map(({ content }) => content);
  const inside = basesIn(permitted);
  const outside = basesIn(excluded);
  return names.every(
    (name) =>
      (inside.length === 0 || inside.some((base) => isWithin(name, base))) &&
      !outside.some((base) => touches(name, base)),
  );
}

/** A wildcard also stands for names that are excluded one by one. */
function reaches(name: string, base: Buffer): boolean {
  const parent = base.toString('latin1').toLowerCase().replace(/^\./, '');
  const isOneOf = name.startsWith('*.') && parent.slice(parent.indexOf('.') + 1) === name.slice(2);
  return isOneOf || isBelow(name, base);
}

function isBelow(name: string, base: Buffer): boolean {
  const parent = base.toString('latin1').toLowerCase().replace(/^\./, '');
  const plain = name.replace(/^\*\./, '');
  return parent === '' || plain === parent || plain.endsWith(`.${parent}`);
}

function isInNet(name: string, base: Buffer): boolean {
  if (isIP(name) === 0) return false;
  const octets = ipOctets(name);
  if (base.length !== octets.length * 2) return false;
  return octets.every((octet, i) => (octet & base[octets.length + i]!) === (base[i]! & base[octets.length + i]!));
}
