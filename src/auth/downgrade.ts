// Proof of what the server offered (XEP-0474 0.5.0) and of the version of TLS (XEP-0515 0.1.0), inside SCRAM.
import type { TlsInfo } from '../net/tls.ts';
import { channelBindings } from './channel.ts';
import { digest, type ScramHash } from './credentials.ts';

/** RFC 8446 and before: the numbers of the protocol's versions. */
const tlsVersions: Readonly<Record<string, string>> = {
  TLSv1: '0301',
  'TLSv1.1': '0302',
  'TLSv1.2': '0303',
  'TLSv1.3': '0304',
};

/**
 * Attributes for the first message of the server, which the proofs of both sides cover: a hash of what was offered (XEP-0474
 * 5.1) and the version of TLS (XEP-0515 4.1), so that the client sees whether somebody in between has changed either.
 */
export function offerProof(hash: ScramHash, offered: readonly string[], tls: TlsInfo | undefined): string {
  // i;octet, and everything that is offered is ASCII
  const lists = [[...offered].sort().join('\x1e')];
  const bindings = channelBindings(tls);
  if (bindings.length > 0) lists.push([...bindings].sort().join('\x1e'));
  const version = tls === undefined ? undefined : tlsVersions[tls.protocol];
  const proof = digest(hash, Buffer.from(lists.join('\x1f'))).toString('base64');
  return `,h=${proof}${version === undefined ? '' : `,t=${version}`}`;
}
