// The certificate of another server: whether it speaks for a domain (RFC 6120 13.7.2, RFC 9525), and why not, in words.
//
// What XEP-0178 and XEP-0344 leave open is decided so: a certificate that is not valid does not end the stream by itself; where policy
// allows, dialback follows (XEP-0178 3, step 9). Whoever shows a valid certificate needs no call back for any domain in it
// (XEP-0344 2.4, "dialback without dialback"). Two connections that show the same certificate prove nothing here (2.6 is not done).
import { type CertificateNames, certificateNames, coversDomain } from '../net/cert-names.ts';
import type { PathProblem, Trust } from '../net/trust.ts';

export type CertificateVerdict =
  | { readonly isValid: true }
  | {
      readonly isValid: false;
      /** A sentence for people. */
      readonly why: string;
    };

const valid: CertificateVerdict = { isValid: true };

const explanations: Readonly<Record<PathProblem, string>> = {
  'no certificate': 'it showed no certificate',
  expired: 'its certificate, or one in its chain, has expired',
  'not yet valid': 'its certificate, or one in its chain, is not valid yet',
  'self-signed': 'its certificate is signed by itself, and not one that is trusted here',
  'unknown authority': 'its certificate does not lead to an authority that is trusted here',
  'not for servers': 'its certificate is for other uses than servers',
  'too weak': 'its certificate has a key or a signature that is too weak',
  'not acceptable': 'its certificate breaks the rules for certificates (RFC 5280)',
};

/**
 * @param chain DER, the peer's own certificate first; empty where it showed none
 * @param domain prepared, with U-labels or A-labels
 * @param now milliseconds since 1970
 */
export function judgeCertificate(
  chain: readonly Buffer[],
  domain: string,
  trust: Trust,
  now: number,
): CertificateVerdict {
  const problem = trust.verify(chain, now);
  if (problem !== undefined) return { isValid: false, why: explanations[problem] };
  let names: CertificateNames;
  try {
    names = certificateNames(chain[0]!);
  } catch {
    return { isValid: false, why: explanations['not acceptable'] };
  }
  if (coversDomain(names, domain, 'xmpp-server')) return valid;
  const told = [...new Set([...names.dns, ...names.xmppAddr, ...names.srv, ...names.ip])].slice(0, 5).join(', ');
  return {
    isValid: false,
    why: `its certificate is for ${told === '' ? 'no domain at all' : told}, not for ${domain}`,
  };
}
