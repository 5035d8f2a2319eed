// A host for rooms that a test stands on in the place of the module for rooms: it says what the test says, and notes what it is told.
import type { Cluster } from '../../src/cluster/cluster.ts';
import { parseConfig } from '../../src/config/load.ts';
import type { ConfigInput } from '../../src/config/server.ts';
import { serviceIn } from '../../src/core/events.ts';
import type { Host } from '../../src/core/host.ts';
import { defineModule, on } from '../../src/core/module.ts';
import type { Router } from '../../src/core/router.ts';
import { loadModules } from '../../src/index.ts';
import { Server } from '../../src/server.ts';
import { createMemoryDriver } from '../../src/storage/memory.ts';
import type { Driver } from '../../src/storage/ports.ts';
import { type Element, el } from '../../src/xml/element.ts';
import { Jid } from '../../src/xmpp/jid.ts';
import type { StreamClient } from './client.ts';
import { FakeClock } from './clock.ts';
import type { TestNames } from './federation.ts';
import { logIn } from './login.ts';
import { mergeSettings } from './test-server.ts';

export const domain = 'verona.test';
/** Who speaks in its rooms. */
export const speaker = Jid.parse(`capulet@groups.${domain}/tybalt`)!;
/** What the rooms of one server say and hear. */
export class Rooms {
  router!: Router;
  host!: Host;
  readonly heard: string[] = [];
  readonly module = defineModule({
    summary: 'Stands where rooms are',
    xeps: [],
    hosts: ['rooms'],
    setup: ({ host, router }) => {
      this.host = host;
      this.router = router;
      return {
        handlers: [
          on(serviceIn, { phase: 'handle' }, ({ stanza: { from, to, el: element } }) => {
            const [error] = element.getChild('error')?.elements() ?? [];
            this.heard.push(`${element.name} ${element.attrs.type} ${error?.name} ${from.full} > ${to.full}`);
            return 'handled';
          }),
        ],
      };
    },
  });

  say(text: string, ...to: readonly string[]) {
    return this.router.multicast(
      said(text),
      speaker,
      to.map((one) => Jid.parse(one)!),
      this.host,
    );
  }
}

export const said = (text: string): Element =>
  el('message', null, { from: speaker.full, type: 'groupchat', id: text }, el('body', null, undefined, text));

export interface RoomsOptions {
  readonly cluster?: Cluster;
  readonly driver?: Driver;
  readonly names?: TestNames;
  readonly clock?: FakeClock;
  readonly at?: string;
}

/** A server with such a host. @param ended what to do in the end, the last first */
export async function startRooms(
  ended: (() => Promise<unknown>)[],
  more: ConfigInput = {},
  { cluster, driver, names, at = domain, clock = new FakeClock() }: RoomsOptions = {},
) {
  const rooms = new Rooms();
  const base: ConfigInput = {
    database: 'memory',
    tls: { required: false },
    s2s: { enabled: names !== undefined },
    limits: { enabled: false, 'idle-timeout': '100d' },
    listen: { address: ['127.0.0.1'], c2s: 0, http: 0, ...(names === undefined ? {} : { s2s: 0 }) },
    hosts: { [at]: {} },
  };
  const config = parseConfig(mergeSettings(base, more));
  const modules = new Map(await loadModules(config));
  modules.delete('muc');
  // it searches the rooms of the other
  modules.delete('channel-search');
  modules.set('rooms', rooms.module);
  const server = await Server.start(config, {
    modules,
    clock,
    iterations: 1,
    driver: driver ?? createMemoryDriver(clock),
    ...(cluster && { cluster }),
    ...(names && { nameServer: names }),
  });
  ended.push(() => server.stop());
  names?.set(at, { port: server.address('s2s')!.port });
  return { server, rooms };
}

/** Somebody who is connected, as `here`. */
export async function enterAs(
  ended: (() => Promise<unknown>)[],
  server: Server,
  user: string,
  at = domain,
): Promise<StreamClient> {
  const { accounts } = server.hosts.get(at)!;
  if (!(await accounts.exists(user))) await accounts.create(user, 'secret');
  const { client } = await logIn(server.address('c2s')!, { domain: at, user, password: 'secret', resource: 'here' });
  ended.push(() => client.destroy());
  return client;
}
