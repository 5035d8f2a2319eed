// A domain that only a test speaks for: it says any stanza in its name, and hears what a server has to tell it.
import { expect } from 'vitest';
import type { TestAuthority } from './certificates.ts';
import type { StreamClient } from './client.ts';
import type { TestNames } from './federation.ts';
import { authenticateAs, ScriptedServer } from './server-peer.ts';
import type { TestServer } from './test-server.ts';

const external = "<mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>EXTERNAL</mechanism></mechanisms>";

export class RemoteDomain implements AsyncDisposable {
  readonly domain: string;
  /** What is connected to. */
  readonly server: ScriptedServer;
  private readonly client: StreamClient;
  private readonly host: string;
  private fences = 0;
  private read = 0;

  private constructor(domain: string, host: string, server: ScriptedServer, client: StreamClient) {
    this.domain = domain;
    this.host = host;
    this.server = server;
    this.client = client;
  }

  /** @param authority one that the server trusts */
  static async start(
    domain: string,
    names: TestNames,
    authority: TestAuthority,
    to: TestServer,
    host: string,
  ): Promise<RemoteDomain> {
    const identity = authority.issue({ names: [domain] });
    const server = await ScriptedServer.start(domain, identity, external, (socket, said) => {
      if (said.includes('<auth')) socket.write("<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>");
    });
    names.set(domain, { port: server.port });
    return new RemoteDomain(domain, host, server, await authenticateAs(to.addressOf('s2s'), domain, host, identity));
  }

  /** Whether the server has ended the stream that this domain speaks over. */
  get isRefused(): boolean {
    return this.client.isClosed;
  }

  say(...stanzas: readonly string[]): void {
    this.client.write(stanzas.join(''));
  }

  /** The stanzas that came since the last time, when all that was said had its effect on `account`. */
  async hears(account: string): Promise<readonly string[]> {
    const id = `fence-${++this.fences}`;
    // as somebody's own, behind everything that was said in that name
    this.say(
      `<iq type='get' id='${id}' from='juliet@${this.domain}' to='${account}'><query xmlns='urn:example:fence'/></iq>`,
      `<iq type='get' id='${id}b' from='${this.domain}' to='${this.host}'><ping xmlns='urn:xmpp:ping'/></iq>`,
    );
    const isAnswered = (one: string): boolean => this.server.heard.includes(`id='${one}'`);
    await expect.poll(() => isAnswered(id) && isAnswered(`${id}b`), { timeout: 5_000, interval: 5 }).toBe(true);
    const stanzas = [...this.server.heard.matchAll(/<(message|presence|iq)\b[^>]*?(?:\/>|>[\s\S]*?<\/\1>)/g)].map(
      ([text]) => text,
    );
    const news = stanzas.slice(this.read).filter((text) => !text.includes("id='fence-"));
    this.read = stanzas.length;
    return news;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.client.destroy();
    await this.server[Symbol.asyncDispose]();
  }
}
