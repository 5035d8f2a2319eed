// Several servers in this process that find each other: each with its domain, by a name server that knows nothing else.
import type { ConfigInput } from '../../src/config/server.ts';
import type { NameServer, SrvRecord } from '../../src/net/dns.ts';
import { logIn } from './login.ts';
import { mergeSettings, TestServer, type TestServerOptions } from './test-server.ts';

export interface Place {
  readonly port: number;
  readonly priority?: number;
  readonly isDirectTls?: boolean;
  /** 127.0.0.1 unless said otherwise. */
  readonly address?: string;
}

function missing(): Error {
  return Object.assign(new Error('no such name'), { code: 'ENOTFOUND' });
}

/** Names that tests give, and nothing else. */
export class TestNames implements NameServer {
  /** What was asked for. */
  readonly asked: string[] = [];
  private readonly places = new Map<string, readonly Place[]>();

  /** From now on a domain, with its services, is served at these places. */
  set(domain: string, ...places: readonly Place[]): void {
    this.places.set(domain, places);
  }

  async srv(name: string): Promise<{ readonly records: readonly SrvRecord[]; readonly ttl: number }> {
    this.asked.push(name);
    const found = /^_xmpp(s?)-server\._tcp\.(.+)$/.exec(name);
    const places = this.placesOf(found?.[2]);
    const records = places.flatMap(({ port, priority = 0, isDirectTls = false }, i) =>
      isDirectTls === (found?.[1] === 's') ? [{ name: `${i}.at.${found?.[2]}`, port, priority, weight: 0 }] : [],
    );
    return { records, ttl: 60 };
  }

  private placesOf(domain = ''): readonly Place[] {
    return this.places.get(domain) ?? this.places.get(domain.replace(/^(groups|pubsub|upload|proxy)\./, '')) ?? [];
  }

  async addresses(name: string, family: 4 | 6): Promise<readonly { readonly address: string; readonly ttl: number }[]> {
    const found = /^(\d+)\.at\.(.+)$/.exec(name);
    const place = this.placesOf(found?.[2])[Number(found?.[1])];
    if (place === undefined || family === 6) throw missing();
    return [{ address: place.address ?? '127.0.0.1', ttl: 1 }];
  }
}

/** Settings for one domain that federates, over the network of this machine. */
export function federating(domain: string, more: ConfigInput = {}): ConfigInput {
  return mergeSettings({ hosts: { [domain]: {} }, s2s: { enabled: true }, listen: { s2s: 0, 's2s-tls': 0 } }, more);
}

export class TestFederation implements AsyncDisposable {
  readonly names = new TestNames();
  private readonly servers: TestServer[] = [];

  /** Starts a server for a domain, and tells the others where it is. */
  async add(domain: string, settings: ConfigInput = {}, options: TestServerOptions = {}): Promise<TestServer> {
    const server = await TestServer.start(federating(domain, settings), { nameServer: this.names, ...options });
    this.servers.push(server);
    this.names.set(domain, { port: server.addressOf('s2s').port });
    return server;
  }

  async stop(): Promise<void> {
    await Promise.all(this.servers.splice(0).map((server) => server.stop()));
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }
}

/** A new account with a session. */
export async function enter(server: TestServer, jid: string, resource = 'here') {
  const [user = '', domain = ''] = jid.split('@');
  await server.server.accounts.create(jid, 'secret');
  return logIn(server.c2s, { domain, user, password: 'secret', resource });
}
