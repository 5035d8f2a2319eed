// What a certificate says that node:crypto does not: the names of XMPP (RFC 6120 13.7.1, RFC 9525), and the hash function of its
// signature (RFC 5929 4.1).
import { isIP } from 'node:net';
import { domainToASCII } from 'node:url';
import { type Der, readAll, readDer, readOid, Tag } from './der.ts';

/** The subject's alternative names. The Common Name counts for nothing (RFC 9525 2). */
export interface CertificateNames {
  /** A-labels in lower case, perhaps with a wildcard for the first label. */
  readonly dns: readonly string[];
  /** As node:net writes them: `127.0.0.1`, `0:0:0:0:0:0:0:1`. */
  readonly ip: readonly string[];
  /** RFC 6120 13.7.1.4. */
  readonly xmppAddr: readonly string[];
  /** RFC 4985: `_xmpp-server.example.org`. */
  readonly srv: readonly string[];
}

const oids = {
  subjectAltName: '2.5.29.17',
  xmppAddr: '1.3.6.1.5.5.7.8.5',
  srvName: '1.3.6.1.5.5.7.8.7',
  pss: '1.2.840.113549.1.1.10',
} as const;

// Context tags of GeneralName (RFC 5280 4.2.1.6).
const OTHER_NAME = 0xa0;
const DNS_NAME = 0x82;
const IP_ADDRESS = 0x87;
const EXTENSIONS = 0xa3;
const EXPLICIT_0 = 0xa0;

/**
 * Reads the alternative names of a certificate in DER.
 * @throws RangeError when it is no certificate
 */
export function certificateNames(certificate: Buffer): CertificateNames {
  const names = { dns: [] as string[], ip: [] as string[], xmppAddr: [] as string[], srv: [] as string[] };
  for (const name of subjectAltName(certificate)) {
    if (name.tag === DNS_NAME) names.dns.push(name.content.toString('latin1').toLowerCase());
    else if (name.tag === IP_ADDRESS) names.ip.push(readIp(name.content));
    else if (name.tag === OTHER_NAME) {
      const [type, explicit] = readAll(name.content);
      if (type === undefined || explicit === undefined) continue;
      const oid = readOid(type.content);
      const text = readDer(explicit.content).content.toString('utf8');
      if (oid === oids.xmppAddr) names.xmppAddr.push(text);
      else if (oid === oids.srvName) names.srv.push(text.toLowerCase());
    }
  }
  return names;
}

function subjectAltName(certificate: Buffer): readonly Der[] {
  const extension = certificateExtensions(certificate).find(({ oid }) => oid === oids.subjectAltName);
  return extension === undefined ? [] : readAll(readDer(extension.value).content);
}

/** One extension of a certificate (RFC 5280 4.1). */
export interface CertificateExtension {
  readonly oid: string;
  readonly isCritical: boolean;
  /** DER. */
  readonly value: Buffer;
}

/** @throws RangeError when it is no certificate */
export function certificateExtensions(certificate: Buffer): readonly CertificateExtension[] {
  const [tbs] = readAll(readDer(certificate).content);
  const extensions = readAll(tbs?.content ?? Buffer.alloc(0)).find(({ tag }) => tag === EXTENSIONS);
  if (extensions === undefined) return [];
  return readAll(readDer(extensions.content).content).flatMap((extension) => {
    const parts = readAll(extension.content);
    const value = parts.at(-1);
    if (parts[0] === undefined || value?.tag !== Tag.octetString) return [];
    const isCritical = parts.some(({ tag, content }) => tag === Tag.boolean && content[0] !== 0);
    return [{ oid: readOid(parts[0].content), isCritical, value: value.content }];
  });
}

function readIp(content: Buffer): string {
  if (content.length === 4) return [...content].join('.');
  const groups: string[] = [];
  for (let i = 0; i + 1 < content.length; i += 2) groups.push(content.readUInt16BE(i).toString(16));
  return groups.join(':');
}

/** A domain as certificates write it: A-labels in lower case; addresses without brackets, all groups of them. */
export function certificateDomain(domain: string): string {
  const bare = domain.replace(/^\[(.*)\]$/, '$1');
  // a zone means nothing to anybody else
  const version = bare.includes('%') ? 0 : isIP(bare);
  if (version === 4) return bare;
  if (version === 6) return readIp(ipOctets(bare));
  const ascii = domainToASCII(domain);
  return (ascii === '' ? domain.toLowerCase() : ascii).replace(/\.$/, '');
}

/** The octets of an address. */
export function ipOctets(address: string): Buffer {
  if (isIP(address) === 4) return Buffer.from(address.split('.').map(Number));
  // the WHATWG parser writes any form of an IPv6 address in the canonical one
  const [head = '', tail] = new URL(`http://[${address}]/`).hostname.slice(1, -1).split('::');
  const left = head === '' ? [] : head.split(':');
  const right = tail === undefined || tail === '' ? [] : tail.split(':');
  const zeros = tail === undefined ? [] : Array<string>(8 - left.length - right.length).fill('0');
  return Buffer.from(
    [...left, ...zeros, ...right].flatMap((group) => {
      const value = Number.parseInt(group, 16);
      return [value >> 8, value & 0xff];
    }),
  );
}

/** Whether a certificate with these names speaks for a domain; `service` as in `_xmpp-client`, any where it is not given. */
export function coversDomain(
  names: CertificateNames,
  domain: string,
  service?: 'xmpp-client' | 'xmpp-server',
): boolean {
  const wanted = certificateDomain(domain);
  if (names.ip.includes(wanted)) return true;
  if (isIP(wanted) !== 0) return false;
  // RFC 9525 6.3: a wildcard is the whole first label, and stands for exactly one
  const dot = wanted.indexOf('.');
  const wildcard = dot > 0 ? `*${wanted.slice(dot)}` : undefined;
  if (names.dns.some((name) => name === wanted || name === wildcard)) return true;
  if (names.xmppAddr.some((name) => isSame(name, wanted))) return true;
  return names.srv.some((name) => {
    const match = /^_(xmpp-client|xmpp-server)\.(.+)$/.exec(name);
    return match !== null && (service === undefined || match[1] === service) && isSame(match[2]!, wanted);
  });
}

/** What is no domain, though a part of it is one, speaks for none: parsers of URLs are more generous. */
function isSame(name: string, wanted: string): boolean {
  return !/[/\\?#@:%\s]/.test(name) && certificateDomain(name) === wanted;
}

// The hash function by the signature algorithm's, or by a hash algorithm's own, object identifier.
const hashes: Readonly<Record<string, string>> = {
  '1.2.840.113549.1.1.4': 'md5',
  '1.2.840.113549.1.1.5': 'sha1',
  '1.2.840.113549.1.1.14': 'sha224',
  '1.2.840.113549.1.1.11': 'sha256',
  '1.2.840.113549.1.1.12': 'sha384',
  '1.2.840.113549.1.1.13': 'sha512',
  '1.2.840.10045.4.1': 'sha1',
  '1.2.840.10045.4.3.1': 'sha224',
  '1.2.840.10045.4.3.2': 'sha256',
  '1.2.840.10045.4.3.3': 'sha384',
  '1.2.840.10045.4.3.4': 'sha512',
  '1.3.14.3.2.26': 'sha1',
  '2.16.840.1.101.3.4.2.4': 'sha224',
  '2.16.840.1.101.3.4.2.1': 'sha256',
  '2.16.840.1.101.3.4.2.2': 'sha384',
  '2.16.840.1.101.3.4.2.3': 'sha512',
};

/**
 * RFC 5929 4.1: the hash function for `tls-server-end-point`, by its name in node:crypto; undefined for signatures that use
 * none (Ed25519) or that are not known here.
 * @throws RangeError when it is no certificate
 */
export function endPointHash(certificate: Buffer): string | undefined {
  const [, algorithm] = readAll(readDer(certificate).content);
  const [id, parameters] = readAll(algorithm?.content ?? Buffer.alloc(0));
  if (id === undefined) return undefined;
  let oid = readOid(id.content);
  if (oid === oids.pss) {
    // RFC 4055 3.1: SHA-1 unless the parameters say otherwise
    const hash = readAll(parameters?.content ?? Buffer.alloc(0)).find(({ tag }) => tag === EXPLICIT_0);
    const [hashId] = hash === undefined ? [] : readAll(readDer(hash.content).content);
    oid = hashId === undefined ? '1.3.14.3.2.26' : readOid(hashId.content);
  }
  const hash = Object.hasOwn(hashes, oid) ? hashes[oid] : undefined;
  return hash === 'md5' || hash === 'sha1' ? 'sha256' : hash;
}
