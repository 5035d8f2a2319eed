// Whom to believe: the authorities that are trusted, and whether a chain of certificates leads to one of them (RFC 5280 6).
//
// node:tls verifies chains too, but tells a server nothing of it outside tls.Server, sends the names of all authorities to whoever
// connects, and takes no certificate from a client that was issued for servers only, as nearly all of those of XMPP servers are.
// Signatures, names and keys are compared by OpenSSL (node:crypto) here too; what is added is the order in which to ask.
import { X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { rootCertificates } from 'node:tls';
import { type CertificateLimits, certificateLimits } from './cert-limits.ts';
import { certificateNames } from './cert-names.ts';
import { readAll, readDer } from './der.ts';

/** Where systems keep the authorities that their owner trusts, in one file. */
const systemBundles = [
  '/etc/ssl/certs/ca-certificates.crt',
  '/etc/pki/tls/certs/ca-bundle.crt',
  '/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem',
  '/etc/ssl/ca-bundle.pem',
  '/etc/ssl/cert.pem',
  '/usr/local/etc/openssl@3/cert.pem',
];

/** Longer chains are none. */
const LONGEST_PATH = 8;
/** How long a verdict holds for one chain, in milliseconds: whoever proves many names shows the same one again and again. */
const REMEMBERED = 60_000;
/** Certificates tried for one chain: crossed signatures must not cost without end. */
const MOST_CHECKS = 64;

export type PathProblem =
  | 'no certificate'
  | 'expired'
  | 'not yet valid'
  | 'self-signed'
  | 'unknown authority'
  | 'not for servers'
  | 'too weak'
  | 'not acceptable';

/** A certificate with what is asked of it again and again. */
interface Authority {
  readonly certificate: X509Certificate;
  readonly names: Names;
  readonly notBefore: number;
  readonly notAfter: number;
  readonly limits: CertificateLimits;
}

/** Issuer and subject as they are encoded: authorities are found by these (RFC 5280 7.1 lets encodings differ; nobody's do). */
interface Names {
  readonly issuer: string;
  readonly subject: string;
}

/** One that is trusted. Most are never asked for: they are only read when they are. */
interface Anchor {
  readonly der: Buffer;
  authority: Authority | undefined;
}

/** The authorities that are trusted; read once, by {@link load} or when they are first needed. */
export class Trust {
  private readonly files: readonly string[];
  private anchors: Map<string, Anchor[]> | undefined;
  private readonly verdicts = new WeakMap<readonly Buffer[], Verdict>();

  /** @param files PEM files of authorities besides those of the system */
  constructor(files: readonly string[]) {
    this.files = files;
  }

  /** Reads them now. @throws Error when a file cannot be read */
  load(): void {
    this.all();
  }

  /**
   * Whether a chain leads from its first certificate to an authority; undefined if so.
   * @param chain DER, the peer's own certificate first; that of one connection is to be one array, whose verdict is remembered
   * @param now milliseconds since 1970
   */
  verify(chain: readonly Buffer[], now: number): PathProblem | undefined {
    const known = this.verdicts.get(chain);
    if (known !== undefined && Math.abs(now - known.at) < REMEMBERED) return known.problem;
    this.load();
    let problem: PathProblem | undefined;
    try {
      problem = this.judge(chain, now);
    } catch {
      // keys of a kind that OpenSSL does not know, names that are none
      problem = 'not acceptable';
    }
    this.verdicts.set(chain, { problem, at: now });
    return problem;
  }

  /** @throws Error where a certificate is not what it seemed */
  private judge(chain: readonly Buffer[], now: number): PathProblem | undefined {
    const [first, ...others] = chain;
    if (first === undefined) return 'no certificate';
    const leaf = authority(new X509Certificate(first));
    const sent = others.slice(0, LONGEST_PATH).map((der) => authority(new X509Certificate(der)));
    if (!leaf.limits.isForTls) return 'not for servers';
    if (now > leaf.notAfter) return 'expired';
    if (now < leaf.notBefore) return 'not yet valid';
    // one that is trusted itself needs nobody to speak for it
    if (this.isAnchor(leaf)) return undefined;
    if (leaf.limits.isStrange) return 'not acceptable';
    if (leaf.limits.hasWeakSignature || isWeakKey(leaf.certificate)) return 'too weak';
    const search = { sent, now, checks: 0, problem: undefined as PathProblem | undefined };
    if (this.extend([leaf], search)) return undefined;
    if (search.problem !== undefined) return search.problem;
    return leaf.certificate.checkIssued(leaf.certificate) ? 'self-signed' : 'unknown authority';
  }

  /** Looks for an issuer of the last certificate of a path, trusted ones first. */
  private extend(path: readonly Authority[], search: Search): boolean {
    const last = path.at(-1)!;
    const candidates = [
      ...this.anchorsNamed(last.names.issuer),
      ...search.sent.filter((one) => one.names.subject === last.names.issuer && !path.includes(one)),
    ];
    for (const issuer of candidates) {
      if (++search.checks > MOST_CHECKS) return false;
      const problem = issueProblem(path, issuer, search.now);
      if (problem !== undefined) {
        // an authority that is not what it should be says more than one that is not there
        if (problem !== 'unknown authority') search.problem ??= problem;
        continue;
      }
      if (this.isAnchor(issuer)) return true;
      // nobody has to sign what is trusted already; all others are only as good as their signature
      if (issuer.limits.hasWeakSignature) continue;
      if (path.length < LONGEST_PATH && this.extend([...path, issuer], search)) return true;
    }
    return false;
  }

  private isAnchor({ certificate, names }: Authority): boolean {
    return (
      this.all()
        .get(names.subject)
        ?.some(({ der }) => der.equals(certificate.raw)) === true
    );
  }

  private anchorsNamed(subject: string): Authority[] {
    return (this.all().get(subject) ?? []).flatMap((anchor) => {
      try {
        anchor.authority ??= authority(new X509Certificate(anchor.der));
        return [anchor.authority];
      } catch {
        // a bundle may have certificates of kinds that OpenSSL does not know: they speak for nobody
        return [];
      }
    });
  }

  private all(): ReadonlyMap<string, readonly Anchor[]> {
    if (this.anchors !== undefined) return this.anchors;
    const anchors = new Map<string, Anchor[]>();
    const system = systemBundle();
    const texts = [
      ...(system === undefined ? rootCertificates : [system]),
      ...[...this.files, process.env.NODE_EXTRA_CA_CERTS ?? '']
        .filter(Boolean)
        .map((file) => readFileSync(file, 'utf8')),
    ];
    for (const der of texts.flatMap(pemBlocks)) {
      try {
        const { subject } = namesOf(der);
        const known = anchors.get(subject);
        if (known === undefined) anchors.set(subject, [{ der, authority: undefined }]);
        else known.push({ der, authority: undefined });
      } catch {
        // no certificate: it speaks for nobody
      }
    }
    this.anchors = anchors;
    return anchors;
  }
}

interface Verdict {
  readonly problem: PathProblem | undefined;
  readonly at: number;
}

interface Search {
  readonly sent: readonly Authority[];
  readonly now: number;
  checks: number;
  problem: PathProblem | undefined;
}

/** RFC 5280 6.1.3, 6.1.4: whether a certificate may have issued the last one of a path. */
function issueProblem(path: readonly Authority[], issuer: Authority, now: number): PathProblem | undefined {
  const { certificate } = path.at(-1)!;
  // names, key identifiers, and the right to sign certificates
  if (!certificate.checkIssued(issuer.certificate) || !issuer.certificate.ca) return 'unknown authority';
  if (now > issuer.notAfter) return 'expired';
  if (now < issuer.notBefore) return 'not yet valid';
  // how many other authorities may stand between it and the peer's own certificate
  const between = path.slice(1).filter((one) => one.certificate.subject !== one.certificate.issuer).length;
  if (between > issuer.limits.pathLength) return 'not acceptable';
  const leaf = path[0]!;
  if (!issuer.limits.isForTls || !issuer.limits.permits(certificateNames(leaf.certificate.raw)))
    return 'not acceptable';
  if (issuer.limits.isStrange) return 'not acceptable';
  if (isWeakKey(issuer.certificate)) return 'too weak';
  return certificate.verify(issuer.certificate.publicKey) ? undefined : 'unknown authority';
}

/** @throws RangeError when it is no certificate */
function authority(certificate: X509Certificate): Authority {
  return {
    certificate,
    names: namesOf(certificate.raw),
    notBefore: Date.parse(certificate.validFrom),
    notAfter: Date.parse(certificate.validTo),
    limits: certificateLimits(certificate.raw),
  };
}

/** Keys that can be broken (RFC 9325 4.3). */
function isWeakKey({ publicKey }: X509Certificate): boolean {
  const { modulusLength } = publicKey.asymmetricKeyDetails ?? {};
  return modulusLength !== undefined && modulusLength < 2048;
}

/** @throws RangeError when it is no certificate */
function namesOf(der: Buffer): Names {
  const [tbs] = readAll(readDer(der).content);
  const fields = readAll(tbs?.content ?? Buffer.alloc(0));
  // RFC 5280 4.1: version (left out in version 1), serial number, algorithm, issuer, validity, subject
  const first = fields[0]?.tag === VERSION ? 1 : 0;
  const text = (index: number): string => fields[first + index]?.content.toString('latin1') ?? '';
  return { issuer: text(2), subject: text(4) };
}

const VERSION = 0xa0;

function systemBundle(): string | undefined {
  for (const file of [process.env.SSL_CERT_FILE ?? '', ...systemBundles].filter(Boolean)) {
    try {
      return readFileSync(file, 'utf8');
    } catch {
      // another system keeps them elsewhere
    }
  }
  return undefined;
}

/** The DER of every certificate in a PEM file; OpenSSL's additions to some of them are cut off. */
function pemBlocks(text: string): Buffer[] {
  const blocks = text.matchAll(/-----BEGIN (?:TRUSTED )?CERTIFICATE-----([^-]+)-----END/g);
  return [...blocks].flatMap(([, base64]) => {
    const data = Buffer.from(base64!, 'base64');
    const end = data.length > 4 && data[0] === 0x30 && data[1] === 0x82 ? 4 + data.readUInt16BE(2) : data.length;
    return data.length < end ? [] : [data.subarray(0, end)];
  });
}
