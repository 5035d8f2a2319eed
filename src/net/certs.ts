// A certificate authority of our own, so that a server has TLS from its first start: a root made once, and a certificate for
// every host (RFC 5280). Its files may be made by several processes at once: a key is made by whoever is first, and a
// certificate can always be made again for the key that is there.
import {
  createHash,
  createPrivateKey,
  createPublicKey,
  generateKeyPair,
  type KeyObject,
  randomBytes,
  sign,
  X509Certificate,
} from 'node:crypto';
import { link, mkdir, open, readFile, rename, unlink } from 'node:fs/promises';
import { isIP } from 'node:net';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { Clock } from '../base/clock.ts';
import type { Logger } from '../base/log.ts';
import { certificateDomain, certificateNames, ipOctets } from './cert-names.ts';
import { readAll, readDer, Tag, writeBits, writeDer, writeOid, writeTime } from './der.ts';

const DAY = 24 * 60 * 60_000;
const AUTHORITY_DAYS = 3650;
/** Below 825 days: some systems refuse certificates that are valid for longer. */
const LEAF_DAYS = 820;
const RENEW_LEAF_DAYS = 60;
/** A root that is about to end is of no use to a leaf that would outlive it. */
const RENEW_AUTHORITY_DAYS = LEAF_DAYS + 30;
/** Clocks differ. */
const BACKDATED = 60 * 60_000;

const makeKeyPair = promisify(generateKeyPair);

export interface CertificateRequest {
  readonly commonName: string;
  readonly publicKey: KeyObject;
  /** Domains and addresses it is for. */
  readonly names: readonly string[];
  /** Whether it may sign others. */
  readonly isAuthority: boolean;
  /** How many authorities there may be between it and a leaf; any number unless given. */
  readonly pathLength?: number;
  /** Milliseconds since 1970. */
  readonly notBefore: number;
  readonly notAfter: number;
}
export interface Issuer {
  readonly commonName: string;
  readonly key: KeyObject;
}

const commonName = (name: string): Buffer =>
  writeDer(
    Tag.sequence,
    writeDer(Tag.set, writeDer(Tag.sequence, writeOid('2.5.4.3'), writeDer(Tag.utf8String, Buffer.from(name)))),
  );

const extension = (oid: string, isCritical: boolean, value: Buffer): Buffer =>
  writeDer(
    Tag.sequence,
    writeOid(oid),
    ...(isCritical ? [writeDer(Tag.boolean, Buffer.from([0xff]))] : []),
    writeDer(Tag.octetString, value),
  );

/** RFC 5280 4.2.1.2: the usual key identifier. */
function keyId(publicKey: KeyObject): Buffer {
  const [, bits] = readAll(readDer(publicKey.export({ type: 'spki', format: 'der' })).content);
  return createHash('sha1').update(bits!.content.subarray(1)).digest();
}

const generalName = (name: string): Buffer => {
  const domain = certificateDomain(name);
  return isIP(domain) === 0 ? writeDer(0x82, Buffer.from(domain)) : writeDer(0x87, ipOctets(domain));
};

/** How a key of ours signs: ECDSA with SHA-256, or Ed25519. */
function signature(key: KeyObject): { readonly algorithm: Buffer; sign(data: Buffer): Buffer } {
  const [oid, hash] = key.asymmetricKeyType === 'ed25519' ? ['1.3.101.112', null] : ['1.2.840.10045.4.3.2', 'sha256'];
  return { algorithm: writeDer(Tag.sequence, writeOid(oid)), sign: (data) => sign(hash, data, key) };
}

/** Makes a certificate, in PEM. */
export function issueCertificate(request: CertificateRequest, issuer: Issuer): string {
  const { algorithm, sign: signWith } = signature(issuer.key);
  const serial = randomBytes(16);
  // positive, and of the same length always
  serial[0] = (serial[0]! & 0x7f) | 0x40;
  const isTrue = writeDer(Tag.boolean, Buffer.from([0xff]));
  const pathLength =
    request.pathLength === undefined ? Buffer.alloc(0) : writeDer(Tag.integer, Buffer.from([request.pathLength]));
  const usage = request.isAuthority
    ? [
        extension('2.5.29.19', true, writeDer(Tag.sequence, isTrue, pathLength)),
        // keyCertSign, cRLSign
        extension('2.5.29.15', true, writeBits(Buffer.from([0x06]), 1)),
      ]
    : [
        extension('2.5.29.19', true, writeDer(Tag.sequence)),
        // digitalSignature
        extension('2.5.29.15', true, writeBits(Buffer.from([0x80]), 7)),
        // serverAuth; clientAuth, for servers are clients of one another
        extension(
          '2.5.29.37',
          false,
          writeDer(Tag.sequence, writeOid('1.3.6.1.5.5.7.3.1'), writeOid('1.3.6.1.5.5.7.3.2')),
        ),
      ];
  const names =
    request.names.length === 0
      ? []
      : [extension('2.5.29.17', false, writeDer(Tag.sequence, ...request.names.map(generalName)))];
  const extensions = [
    ...usage,
    ...names,
    extension('2.5.29.14', false, writeDer(Tag.octetString, keyId(request.publicKey))),
    extension('2.5.29.35', false, writeDer(Tag.sequence, writeDer(0x80, keyId(createPublicKey(issuer.key))))),
  ];
  const tbs = writeDer(
    Tag.sequence,
    writeDer(0xa0, writeDer(Tag.integer, Buffer.from([2]))),
    writeDer(Tag.integer, serial),
    algorithm,
    commonName(issuer.commonName),
    writeDer(Tag.sequence, writeTime(request.notBefore), writeTime(request.notAfter)),
    commonName(request.commonName),
    request.publicKey.export({ type: 'spki', format: 'der' }),
    writeDer(0xa3, writeDer(Tag.sequence, ...extensions)),
  );
  const whole = writeDer(Tag.sequence, tbs, algorithm, writeBits(signWith(tbs)));
  const lines = whole.toString('base64').match(/.{1,64}/g) ?? [];
  return `-----BEGIN CERTIFICATE-----\n${lines.join('\n')}\n-----END CERTIFICATE-----\n`;
}

interface IssuedCertificate {
  /** PEM. */
  readonly certificate: string;
  readonly key: string;
  /** Where the certificate is kept; undefined in memory. */
  readonly file: string | undefined;
}

export interface LocalAuthority {
  /** The root, in PEM; what clients may be told to trust. */
  certificate(): Promise<string>;
  /** A certificate for a host and its services, made or renewed where that is needed. */
  issue(domain: string, services?: readonly string[]): Promise<IssuedCertificate>;
}

/** Where files are kept by their names. */
interface Files {
  read(name: string): Promise<string | undefined>;
  /** Keeps a new file unless there is one; returns the one that is there in the end. */
  keep(name: string, text: string, mode: number): Promise<string>;
  replace(name: string, text: string, mode: number): Promise<void>;
  path(name: string): string | undefined;
}

/** @param folder where its keys and certificates are kept; in memory where it is undefined */
export function createLocalAuthority(folder: string | undefined, clock: Clock, log: Logger): LocalAuthority {
  const files = folder === undefined ? inMemory() : onDisk(folder);
  let root: Promise<Issuer & { readonly certificate: string }> | undefined;

  const keyIn = async (name: string): Promise<{ readonly key: KeyObject; readonly pem: string }> => {
    const existing = await files.read(name);
    if (existing !== undefined) {
      const key = parseKey(existing);
      if (key !== undefined) return { key, pem: existing };
      log.warn({ file: files.path(name) }, 'this private key is broken; a new one is made');
    }
    const { privateKey } = await makeKeyPair('ec', { namedCurve: 'P-256' });
    const pem = privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
    const made = { key: privateKey, pem };
    if (existing !== undefined) {
      await files.replace(name, pem, 0o600);
      return made;
    }
    const kept = await files.keep(name, pem, 0o600);
    const other = kept === pem ? undefined : parseKey(kept);
    return other === undefined ? made : { key: other, pem: kept };
  };

  const openRoot = async (): Promise<Issuer & { readonly certificate: string }> => {
    const { key } = await keyIn('ca.key');
    const publicKey = createPublicKey(key);
    // named by its key: two roots in one trust store shall not be taken for one another
    const name = `Parley local CA ${keyId(publicKey).toString('hex').slice(0, 8)}`;
    const now = clock.now();
    const existing = await files.read('ca.crt');
    if (existing !== undefined) {
      const certificate = parseCertificate(existing);
      const isGood =
        certificate?.checkPrivateKey(key) === true &&
        certificate.ca &&
        Date.parse(certificate.validTo) - now > RENEW_AUTHORITY_DAYS * DAY;
      if (isGood) return { commonName: name, key, certificate: existing };
    }
    const certificate = issueCertificate(
      {
        commonName: name,
        publicKey,
        names: [],
        isAuthority: true,
        pathLength: 0,
        notBefore: now - BACKDATED,
        notAfter: now + AUTHORITY_DAYS * DAY,
      },
      { commonName: name, key },
    );
    if (existing === undefined) {
      log.info({ file: files.path('ca.crt') }, 'a local certificate authority was made');
      return { commonName: name, key, certificate: await files.keep('ca.crt', certificate, 0o644) };
    }
    await files.replace('ca.crt', certificate, 0o644);
    return { commonName: name, key, certificate };
  };

  const opened = (): Promise<Issuer & { readonly certificate: string }> => {
    root ??= openRoot().catch((error: unknown) => {
      root = undefined;
      throw error;
    });
    return root;
  };

  return {
    certificate: async () => (await opened()).certificate,
    async issue(domain, services = []) {
      const issuer = await opened();
      const asciiDomain = certificateDomain(domain);
      const file = `${asciiDomain.replace(/[^a-z0-9.-]/g, '_')}`;
      const local = asciiDomain === 'localhost' ? ['127.0.0.1', '::1'] : [];
      const names = [...new Set([domain, ...services, ...local].map(certificateDomain))];
      const { key, pem } = await keyIn(`${file}.key`);
      const now = clock.now();
      const existing = await files.read(`${file}.crt`);
      if (existing !== undefined && isStillGood(existing, key, issuer, names, now)) {
        return { certificate: existing, key: pem, file: files.path(`${file}.crt`) };
      }
      const certificate = issueCertificate(
        {
          // RFC 5280 A.1: no longer than 64 characters; nobody reads it
          commonName: asciiDomain.slice(0, 64),
          publicKey: createPublicKey(key),
          names,
          isAuthority: false,
          notBefore: now - BACKDATED,
          notAfter: now + LEAF_DAYS * DAY,
        },
        issuer,
      );
      await files.replace(`${file}.crt`, certificate, 0o644);
      return { certificate, key: pem, file: files.path(`${file}.crt`) };
    },
  };
}

function isStillGood(
  pem: string,
  key: KeyObject,
  issuer: Issuer & { readonly certificate: string },
  names: readonly string[],
  now: number,
): boolean {
  const certificate = parseCertificate(pem);
  if (certificate === undefined || !certificate.checkPrivateKey(key)) return false;
  const root = new X509Certificate(issuer.certificate);
  if (!certificate.checkIssued(root) || !certificate.verify(root.publicKey)) return false;
  if (Date.parse(certificate.validTo) - now < RENEW_LEAF_DAYS * DAY || Date.parse(certificate.validFrom) > now)
    return false;
  const has = certificateNames(certificate.raw);
  const all = new Set([...has.dns, ...has.ip]);
  return all.size === names.length && names.every((name) => all.has(name));
}

function parseKey(pem: string): KeyObject | undefined {
  try {
    return createPrivateKey(pem);
  } catch {
    return undefined;
  }
}

function parseCertificate(pem: string): X509Certificate | undefined {
  try {
    return new X509Certificate(pem);
  } catch {
    return undefined;
  }
}

function inMemory(): Files {
  const files = new Map<string, string>();
  return {
    read: async (name) => files.get(name),
    async keep(name, text) {
      const existing = files.get(name);
      if (existing === undefined) files.set(name, text);
      return existing ?? text;
    },
    async replace(name, text) {
      files.set(name, text);
    },
    path: () => undefined,
  };
}

function onDisk(folder: string): Files {
  const write = async (name: string, text: string, mode: number): Promise<string> => {
    await mkdir(folder, { recursive: true });
    const temporary = join(folder, `.${name}.${randomBytes(6).toString('hex')}`);
    const file = await open(temporary, 'wx', mode);
    try {
      await file.writeFile(text);
      await file.sync();
    } finally {
      await file.close();
    }
    return temporary;
  };
  const read = async (name: string): Promise<string | undefined> => {
    try {
      return await readFile(join(folder, name), 'utf8');
    } catch (error) {
      if (codeOf(error) === 'ENOENT') return undefined;
      throw error;
    }
  };
  return {
    read,
    async keep(name, text, mode) {
      const temporary = await write(name, text, mode);
      try {
        // fails when the file is there, and never shows half of one
        await link(temporary, join(folder, name));
        return text;
      } catch (error) {
        const existing = await read(name);
        if (existing !== undefined) return existing;
        // a file system without links
        if (codeOf(error) === 'EEXIST') throw error;
        await rename(temporary, join(folder, name));
        return text;
      } finally {
        await unlink(temporary).catch(() => {});
      }
    },
    async replace(name, text, mode) {
      await rename(await write(name, text, mode), join(folder, name));
    },
    path: (name) => join(folder, name),
  };
}

function codeOf(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined;
}
