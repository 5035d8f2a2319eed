// Another server whose every word a test writes: one that connects, and one that is connected to.
import { once } from 'node:events';
import { createServer, type Server, type Socket } from 'node:net';
import { createSecureContext, TLSSocket } from 'node:tls';
import type { Element } from 'ltx';
import type { TestCertificate } from './certificates.ts';
import { type Address, type Item, StreamClient } from './client.ts';

/** What came, as text to look into. */
export function told(item: Item | undefined): string {
  return item?.kind === 'element' ? item.element.toString() : (item?.kind ?? 'nothing');
}

/** Connects as a server, up to the features behind TLS. */
export async function connectAs(
  address: Address,
  from: string | undefined,
  to: string,
  identity?: TestCertificate,
): Promise<{ readonly client: StreamClient; readonly id: string; readonly features: Element }> {
  const client = await StreamClient.connect(address);
  await open(client, from, to);
  client.write("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>");
  const proceed = await client.next();
  if (proceed?.kind !== 'element' || proceed.element.name !== 'proceed') throw new Error(`no TLS: ${told(proceed)}`);
  await client.startTls(to, identity);
  return { client, ...(await open(client, from, to)) };
}

/** Opens a stream; returns its id and what is offered. @throws Error with what came instead */
export async function open(
  client: StreamClient,
  from: string | undefined,
  to: string,
): Promise<{ readonly id: string; readonly features: Element }> {
  client.openServer(from, to);
  const header = await client.next();
  if (header?.kind !== 'header') throw new Error(`no stream header: ${told(header)}`);
  const features = await client.next();
  if (features?.kind !== 'element' || features.element.name !== 'stream:features') throw new Error(told(features));
  return { id: String(header.element.attrs.id), features: features.element };
}

/** As {@link connectAs}, with the name proved by SASL EXTERNAL. */
export async function authenticateAs(
  address: Address,
  from: string,
  to: string,
  identity: TestCertificate,
  before = '',
): Promise<StreamClient> {
  const { client } = await connectAs(address, from, to, identity);
  const name = Buffer.from(from).toString('base64');
  client.write(`${before}<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='EXTERNAL'>${name}</auth>`);
  const answer = await client.next();
  if (answer?.kind !== 'element' || answer.element.name !== 'success') throw new Error(told(answer));
  await open(client, from, to);
  return client;
}

/** A server that is connected to: it takes everybody, and hands what they say to a script. */
export class ScriptedServer implements AsyncDisposable {
  /** Everything that came, of all connections, as text. */
  heard = '';
  connections = 0;
  private readonly server: Server;
  private readonly sockets = new Set<Socket>();
  private readonly script: (socket: Socket, text: string) => void;
  private readonly identity: TestCertificate;

  private constructor(server: Server, identity: TestCertificate, script: (socket: Socket, text: string) => void) {
    this.server = server;
    this.identity = identity;
    this.script = script;
  }

  /**
   * Speaks RFC 6120 up to the features behind TLS, which are given; then the script answers each piece of text.
   * With features `undefined` it never says a word.
   */
  static async start(
    domain: string,
    identity: TestCertificate,
    features: string | undefined,
    script: (socket: Socket, text: string) => void = () => {},
  ): Promise<ScriptedServer> {
    const server = createServer();
    const self = new ScriptedServer(server, identity, script);
    server.on('connection', (socket) => {
      self.connections++;
      self.sockets.add(socket);
      socket.on('error', () => {});
      if (features !== undefined) self.negotiate(socket, domain, features);
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return self;
  }

  get port(): number {
    const address = this.server.address();
    return typeof address === 'object' && address !== null ? address.port : 0;
  }

  /** Ends all connections there are, without a word. */
  cut(): void {
    for (const socket of this.sockets) socket.destroy();
    this.sockets.clear();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.cut();
    this.server.close();
    await once(this.server, 'close');
  }

  private negotiate(plain: Socket, domain: string, features: string): void {
    const header = (id: string): string =>
      `<?xml version='1.0'?><stream:stream from='${domain}' id='${id}' version='1.0' xmlns='jabber:server' xmlns:db='jabber:server:dialback' xmlns:stream='http://etherx.jabber.org/streams'>`;
    let step = 0;
    plain.on('data', (data: Buffer) => {
      const text = data.toString();
      this.heard += text;
      if (step === 0 && text.includes('<stream:stream')) {
        step = 1;
        plain.write(
          `${header('one')}<stream:features><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'><required/></starttls></stream:features>`,
        );
      } else if (step === 1 && text.includes('<starttls')) {
        plain.removeAllListeners('data');
        plain.write("<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>");
        const { certificate, key } = this.identity;
        const secure = new TLSSocket(plain, {
          isServer: true,
          secureContext: createSecureContext({ cert: certificate, key }),
          requestCert: true,
          rejectUnauthorized: false,
        });
        secure.on('error', () => {});
        this.sockets.add(secure);
        secure.on('data', (more: Buffer) => {
          const said = more.toString();
          this.heard += said;
          if (said.includes('<stream:stream'))
            secure.write(`${header('two')}<stream:features>${features}</stream:features>`);
          else this.script(secure, said);
        });
      }
    });
  }
}
