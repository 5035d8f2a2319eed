// A folder of certificates from elsewhere, in whatever layout: flat files, certbot's live/NAME, acme.sh's, Caddy's, or one file with
// everything. Certificates and keys are matched by their public keys, not by their names.
import { createPrivateKey, createPublicKey, type KeyObject, X509Certificate } from 'node:crypto';
import { type Dirent, type FSWatcher, watch } from 'node:fs';
import { readdir, readFile, realpath, stat } from 'node:fs/promises';
import { extname, join } from 'node:path';
import type { Clock } from '../base/clock.ts';
import { type CertificateNames, certificateNames } from './cert-names.ts';

const MAX_DEPTH = 6;
const MAX_FILES = 20_000;
const MAX_FILE_BYTES = 512 * 1024;
const MAX_CHAIN = 8;

/** A certificate that can be shown, with its key. */
export interface KeyedCertificate {
  readonly file: string;
  /** PEM: the certificate, then those that lead to a root, without the root. */
  readonly chain: string;
  readonly key: string;
  readonly names: CertificateNames;
  /** Milliseconds since 1970. */
  readonly notBefore: number;
  readonly notAfter: number;
}

/** What is wrong with a file, and what to do about it. */
export interface CertificateProblem {
  readonly file: string;
  readonly problem: string;
}

export interface FolderContents {
  readonly certificates: readonly KeyedCertificate[];
  readonly problems: readonly CertificateProblem[];
  /** Every folder that was read; to be watched. */
  readonly folders: readonly string[];
  /** Changes when any file does. */
  readonly state: string;
}

interface Found {
  readonly file: string;
  readonly certificate: X509Certificate;
  /** All certificates of the same file. */
  readonly siblings: readonly X509Certificate[];
}

/**
 * Reads everything in a folder and below. A folder that is not there is an empty one.
 * @param known the state when it was read last: undefined is returned when nothing has changed since
 */
export async function readCertificateFolder(
  folder: string,
  now: number,
  known?: string,
): Promise<FolderContents | undefined> {
  const { files, folders, state } = await listFiles(folder);
  if (state === known) return undefined;
  const problems: CertificateProblem[] = [];
  const found: Found[] = [];
  const keys = new Map<string, string>();

  for (const file of files) {
    const report = (problem: string): void => void problems.push({ file, problem });
    const text = await readPem(file, report);
    if (text === undefined) continue;
    const siblings: X509Certificate[] = [];
    for (const block of text.matchAll(/-----BEGIN ([A-Z0-9 ]+)-----[\s\S]*?-----END \1-----/g)) {
      const [pem, label = ''] = block;
      if (label === 'CERTIFICATE' || label === 'TRUSTED CERTIFICATE') addCertificate(pem, siblings, report);
      else if (label.endsWith('PRIVATE KEY')) addKey(pem, keys, report);
    }
    for (const certificate of siblings) found.push({ file, certificate, siblings });
  }

  const certificates = matchKeys(found, keys, problems);
  for (const certificate of certificates) {
    const { notAfter, names } = certificate;
    const date = new Date(notAfter).toISOString().slice(0, 10);
    if (notAfter > now) continue;
    const isReplaced = certificates.some((other) => other.notAfter > now && coversAll(other.names, names));
    if (!isReplaced)
      problems.push({ file: certificate.file, problem: `This certificate expired on ${date}; renew it` });
  }
  return { certificates, problems, folders, state };
}

function addCertificate(pem: string, to: X509Certificate[], report: (problem: string) => void): void {
  try {
    const certificate = new X509Certificate(pem);
    certificateNames(certificate.raw);
    to.push(certificate);
  } catch {
    report('This certificate cannot be read: the file is damaged; copy it again');
  }
}

function addKey(pem: string, to: Map<string, string>, report: (problem: string) => void): void {
  if (/ENCRYPTED/.test(pem)) {
    report('This private key has a passphrase; store it without one (openssl pkey -in FILE -out FILE)');
    return;
  }
  try {
    const key = createPrivateKey(pem);
    to.set(publicId(createPublicKey(key)), key.export({ type: 'pkcs8', format: 'pem' }).toString());
  } catch {
    report('This private key cannot be read: the file is damaged; copy it again');
  }
}

/** What can be shown: one entry per certificate, from the file that has most of its chain. */
function matchKeys(
  found: readonly Found[],
  keys: ReadonlyMap<string, string>,
  problems: CertificateProblem[],
): readonly KeyedCertificate[] {
  const pool = found.filter(({ certificate }) => certificate.ca).map(({ certificate }) => certificate);
  const usable = new Map<string, KeyedCertificate & { readonly length: number }>();
  const keyless = new Map<string, Found>();
  for (const item of found) {
    const { certificate, file } = item;
    const names = certificateNames(certificate.raw);
    const hasNames = Object.values(names).some((list: readonly string[]) => list.length > 0);
    if (certificate.ca && !hasNames) continue;
    const key = keys.get(publicId(certificate.publicKey));
    if (key === undefined) {
      if (!certificate.ca) keyless.set(certificate.fingerprint256, item);
      continue;
    }
    if (!hasNames) {
      problems.push({
        file,
        problem:
          'This certificate names no domain (subjectAltName), and its common name counts for nothing (RFC 9525); get another',
      });
      continue;
    }
    const chain = chainOf(item, pool);
    const known = usable.get(certificate.fingerprint256);
    if (known !== undefined && known.length > chain.length) continue;
    usable.set(certificate.fingerprint256, {
      file,
      chain: chain.map(String).join(''),
      length: chain.length,
      key,
      names,
      notBefore: Date.parse(certificate.validFrom),
      notAfter: Date.parse(certificate.validTo),
    });
  }
  const certificates = [...usable.values()];
  for (const { file, certificate } of keyless.values()) {
    const names = certificateNames(certificate.raw);
    // an older one that was left behind is in nobody's way
    if (certificates.some((other) => coversAll(other.names, names))) continue;
    const list = [...names.dns, ...names.ip].join(', ');
    problems.push({
      file,
      problem: `No private key in the folder belongs to this certificate (${list}); put the key it was made with beside it`,
    });
  }
  return certificates;
}

/** The certificate and its issuers, as far as they are there; a root is not shown to anybody. */
function chainOf({ certificate, siblings }: Found, pool: readonly X509Certificate[]): readonly X509Certificate[] {
  const chain = [certificate];
  for (let last = certificate; chain.length < MAX_CHAIN; ) {
    if (last.checkIssued(last)) break;
    const issuer = [...siblings, ...pool].find(
      (other) => last.checkIssued(other) && last.verify(other.publicKey) && !chain.includes(other),
    );
    if (issuer === undefined || issuer.checkIssued(issuer)) break;
    chain.push(issuer);
    last = issuer;
  }
  return chain;
}

function coversAll(names: CertificateNames, wanted: CertificateNames): boolean {
  const all = new Set([...names.dns, ...names.ip, ...names.xmppAddr, ...names.srv]);
  return [...wanted.dns, ...wanted.ip, ...wanted.xmppAddr, ...wanted.srv].every((name) => all.has(name));
}

function publicId(key: KeyObject): string {
  return key.export({ type: 'spki', format: 'der' }).toString('base64');
}

async function readPem(file: string, report: (problem: string) => void): Promise<string | undefined> {
  let text: string;
  try {
    text = await readFile(file, 'latin1');
  } catch (error) {
    report(`This file cannot be read (${reason(error)}); let the server's user read it`);
    return undefined;
  }
  if (text.includes('-----BEGIN ')) return text;
  const extension = extname(file).toLowerCase();
  if (['.p12', '.pfx'].includes(extension)) {
    report('PKCS#12 is not read; turn it into PEM (openssl pkcs12 -in FILE -out FILE.pem -nodes)');
  } else if (['.der', '.cer', '.crt', '.cert', '.pem', '.key'].includes(extension)) {
    report('This file is empty or not PEM; a certificate in DER becomes PEM by openssl x509 -inform der -in FILE');
  }
  return undefined;
}

interface Listing {
  readonly files: readonly string[];
  readonly folders: readonly string[];
  readonly state: string;
}

/** Every file that may matter, links followed, in the order of their names. */
async function listFiles(root: string): Promise<Listing> {
  const files: string[] = [];
  const folders: string[] = [];
  const state: string[] = [];
  const visited = new Set<string>();
  const visit = async (folder: string, depth: number): Promise<void> => {
    let entries: Dirent[];
    try {
      const real = await realpath(folder);
      if (visited.has(real)) return;
      visited.add(real);
      entries = await readdir(folder, { withFileTypes: true });
    } catch (error) {
      state.push(`${folder} ${reason(error)}`);
      return;
    }
    folders.push(folder);
    entries.sort((a, b) => (a.name < b.name ? -1 : 1));
    for (const entry of entries) {
      if (entry.name.startsWith('.') || files.length >= MAX_FILES) continue;
      const path = join(folder, entry.name);
      const facts = await stat(path).catch(() => undefined);
      if (facts?.isDirectory() && depth < MAX_DEPTH) await visit(path, depth + 1);
      else if (facts?.isFile() && facts.size <= MAX_FILE_BYTES) {
        files.push(path);
        state.push(`${path} ${facts.ino} ${facts.size} ${facts.mtimeMs} ${facts.ctimeMs}`);
      }
    }
  };
  await visit(root, 0);
  return { files, folders, state: state.join('\n') };
}

const reason = (error: unknown): string =>
  error instanceof Error && 'code' in error ? String(error.code) : String(error);

/** Changes come in bursts: a certificate, its chain, its key. */
const SETTLE = 300;
/** For file systems that tell nothing. */
const POLL = 60_000;

export interface FolderWatch {
  /** Which folders there are now. */
  follow(folders: readonly string[]): void;
  close(): void;
}

/** Calls `changed` some time after anything in a folder may have changed. */
export function watchFolder(root: string, clock: Clock, changed: () => void): FolderWatch {
  const watchers = new Map<string, FSWatcher>();
  let cancelSettle: (() => void) | undefined;
  let cancelPoll: () => void = () => {};
  let isClosed = false;
  const stir = (): void => {
    cancelSettle?.();
    cancelSettle = clock.after(SETTLE, changed);
  };
  const poll = (): void => {
    cancelPoll = clock.after(POLL, () => {
      changed();
      poll();
    });
  };
  poll();
  const add = (folder: string): void => {
    try {
      const watcher = watch(folder, { persistent: false }, stir);
      watcher.on('error', () => {
        watcher.close();
        watchers.delete(folder);
      });
      watchers.set(folder, watcher);
    } catch {
      // not there, or too many watches: the poll will do
    }
  };
  const follow = (folders: readonly string[]): void => {
    if (isClosed) return;
    const wanted = new Set([root, ...folders]);
    for (const [folder, watcher] of watchers) {
      if (wanted.has(folder)) continue;
      watcher.close();
      watchers.delete(folder);
    }
    for (const folder of wanted) if (!watchers.has(folder)) add(folder);
  };
  follow([]);
  return {
    follow,
    close() {
      isClosed = true;
      cancelSettle?.();
      cancelPoll();
      for (const watcher of watchers.values()) watcher.close();
      watchers.clear();
    },
  };
}
