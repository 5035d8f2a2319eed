// What is known of a connection's TLS once its handshake is done: for channel bindings (RFC 5929, RFC 9266), certificates and names.
import type { TLSSocket } from 'node:tls';

/** What is known of a connection's TLS. */
export interface TlsInfo {
  /** `TLSv1.3`. */
  readonly protocol: string;
  /** The IANA name of the cipher suite. */
  readonly cipher: string;
  /** RFC 9266; undefined below TLS 1.3. */
  readonly exporter: Buffer | undefined;
  /** RFC 5929 3: the first Finished message of the handshake. TLS 1.3 knows no such binding, and some clients use it all the same. */
  readonly unique: Buffer | undefined;
  /** RFC 5929 4; undefined where the certificate's signature has no one hash function. */
  readonly endPoint: Buffer | undefined;
  /** The name that the peer asked for (SNI). */
  readonly servername: string | undefined;
  readonly alpn: string | undefined;
  /** The peer's certificate in DER and those that lead on from it; empty where it showed none. They are not verified here. */
  readonly peerCertificates: readonly Buffer[];
}

/** The name that the peer asked for (SNI). */
export function servernameOf(socket: TLSSocket): string | undefined {
  // `false` where the peer named none; the property lacks in the types
  const name = (socket as TLSSocket & { readonly servername?: string | false | null }).servername;
  return name || undefined;
}

/** Right after the handshake: what is shown may change later. @param endPoint RFC 5929 4, of our own certificate */
export function describeTls(socket: TLSSocket, endPoint: Buffer | undefined): TlsInfo {
  const protocol = socket.getProtocol() ?? 'unknown';
  return {
    protocol,
    cipher: socket.getCipher().standardName,
    // RFC 9266 4.2: below TLS 1.3 only with the extended master secret, and node:tls does not tell whether it is in use
    exporter:
      protocol === 'TLSv1.3' ? socket.exportKeyingMaterial(32, 'EXPORTER-Channel-Binding', Buffer.alloc(0)) : undefined,
    // the server speaks first where a session is resumed
    unique: socket.isSessionReused() ? socket.getFinished() : socket.getPeerFinished(),
    endPoint,
    servername: servernameOf(socket),
    alpn: socket.alpnProtocol || undefined,
    peerCertificates: chainOf(socket),
  };
}

/** Longer chains are cut. */
const LONGEST_CHAIN = 10;

function chainOf(socket: TLSSocket): readonly Buffer[] {
  const chain: Buffer[] = [];
  let next = socket.getPeerX509Certificate();
  while (next !== undefined && chain.length < LONGEST_CHAIN) {
    chain.push(next.raw);
    next = next.issuerCertificate;
  }
  return chain;
}

/** Why a handshake failed, for people. */
export function explainHandshake(error: unknown): string {
  const { code, reason, message = String(error) } = error as { code?: string; reason?: string; message?: string };
  if (code === 'ECONNRESET' || code === 'EPIPE') return 'the connection was broken off';
  if (reason === 'wrong version number' || reason === 'packet length too long') {
    return `what answers does not speak TLS (${reason})`;
  }
  const alert = reason === undefined ? undefined : /^(?:ssl|tls)v?[\d.]* alert (.+)$/.exec(reason)?.[1];
  if (alert !== undefined) return `the other side sent the alert "${alert}"`;
  // (without a reason of its own the message is a dump of OpenSSL's queue of errors)
  return reason ?? message.split('\n')[0] ?? message;
}
