// Certificates for tests, and connections over TLS that show which of them were used.
import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { createServer, type Server, type Socket } from 'node:net';
import { type ConnectionOptions, connect, type TLSSocket, TLSSocket as TlsSocket } from 'node:tls';
import { issueCertificate } from '../../src/net/certs.ts';
import type { AcceptOptions, TlsContexts, TlsInfo } from '../../src/net/tls.ts';

const DAY = 24 * 60 * 60_000;

export interface TestCertificate {
  /** PEM. */
  readonly certificate: string;
  readonly key: string;
}
export interface TestIssue {
  readonly names: readonly string[];
  readonly notBefore?: number;
  readonly notAfter?: number;
}

/** An authority that signs whatever a test asks for. */
export class TestAuthority {
  readonly certificate: string;
  readonly key: string;
  private readonly issuer: { readonly commonName: string; readonly key: KeyObject };

  constructor(commonName = 'Test CA', parent?: TestAuthority, keyType: 'ec' | 'ed25519' = 'ec') {
    const { privateKey, publicKey } = keyPair(keyType);
    this.issuer = { commonName, key: privateKey };
    this.key = privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
    const now = Date.now();
    this.certificate = issueCertificate(
      { commonName, publicKey, names: [], isAuthority: true, notBefore: now - DAY, notAfter: now + 1000 * DAY },
      parent?.issuer ?? this.issuer,
    );
  }

  issue({ names, notBefore = Date.now() - DAY, notAfter = Date.now() + 90 * DAY }: TestIssue): TestCertificate {
    const { privateKey, publicKey } = keyPair('ec');
    return {
      certificate: issueCertificate(
        { commonName: 'leaf', publicKey, names, isAuthority: false, notBefore, notAfter },
        this.issuer,
      ),
      key: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
    };
  }
}

/** A certificate that nobody signed but itself. */
export function selfSigned(names: readonly string[]): TestCertificate {
  const { privateKey, publicKey } = keyPair('ec');
  const now = Date.now();
  return {
    certificate: issueCertificate(
      { commonName: 'leaf', publicKey, names, isAuthority: false, notBefore: now - DAY, notAfter: now + 90 * DAY },
      { commonName: 'leaf', key: privateKey },
    ),
    key: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
  };
}

function keyPair(type: 'ec' | 'ed25519'): { readonly privateKey: KeyObject; readonly publicKey: KeyObject } {
  return type === 'ec' ? generateKeyPairSync('ec', { namedCurve: 'P-256' }) : generateKeyPairSync('ed25519');
}

/** The two ends of a handshake: the client's socket, and what the server knows. */
export interface Handshake {
  readonly client: TLSSocket;
  readonly server: TLSSocket;
  readonly info: TlsInfo;
  /** The certificate that the client was shown, in DER. */
  readonly shown: Buffer;
  /** For resumption: a ticket, where the server gave one. */
  readonly session: Buffer | undefined;
}

/** A server on a loopback port that does nothing but handshakes. */
export class HandshakeServer {
  private readonly sockets = new Set<Socket>();
  private readonly server: Server;
  private readonly port: number;
  private waiting: ((secure: TLSSocket, info: TlsInfo) => void) | undefined;

  private constructor(server: Server, port: number) {
    this.server = server;
    this.port = port;
  }

  static async start(contexts: TlsContexts, options: AcceptOptions = {}): Promise<HandshakeServer> {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const address = server.address();
    const self = new HandshakeServer(server, typeof address === 'object' && address !== null ? address.port : 0);
    server.on('connection', (socket) => {
      self.sockets.add(socket);
      const accepted = contexts.accept(options);
      const secure = new TlsSocket(socket, accepted.options);
      secure.on('error', () => {});
      socket.on('error', () => {});
      secure.on('secure', () => self.waiting?.(secure, accepted.describe(secure)));
      secure.on('data', (data: Buffer) => secure.write(data));
    });
    return self;
  }

  /** Rejects when the handshake fails. The certificate is only verified when `ca` is given. */
  async connect(options: ConnectionOptions = {}): Promise<Handshake> {
    const seen = new Promise<{ secure: TLSSocket; info: TlsInfo }>((resolve) => {
      this.waiting = (secure, info) => resolve({ secure, info });
    });
    const client = connect({
      host: '127.0.0.1',
      port: this.port,
      rejectUnauthorized: options.ca !== undefined,
      ...options,
    });
    this.sockets.add(client);
    let session: Buffer | undefined;
    client.on('session', (ticket: Buffer) => {
      session = ticket;
    });
    await new Promise<void>((resolve, reject) => {
      client.once('secureConnect', resolve);
      client.once('error', reject);
    });
    const shown = client.getPeerX509Certificate()?.raw ?? Buffer.alloc(0);
    // an echo, so that tickets are there
    client.write('x');
    await new Promise((resolve) => client.once('data', resolve));
    const { secure, info } = await seen;
    return { client, server: secure, info, shown, session };
  }

  async close(): Promise<void> {
    for (const socket of this.sockets) socket.destroy();
    await new Promise((resolve) => this.server.close(resolve));
  }
}
