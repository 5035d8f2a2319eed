// A server of this process, driven past its sockets: a module hands out what modules work with, and streams count what is written to them.
import { parseConfig } from '../../src/config/load.ts';
import type { ConfigInput } from '../../src/config/server.ts';
import { type AnyModule, defineModule } from '../../src/core/module.ts';
import { defineSlot, type SessionStream } from '../../src/core/sessions.ts';
import { loadModules } from '../../src/index.ts';
import { type PersonalNodes, pep } from '../../src/modules/pep/service.ts';
import { type Roster, roster } from '../../src/modules/roster/index.ts';
import { Server } from '../../src/server.ts';
import { el } from '../../src/xml/element.ts';
import { Jid } from '../../src/xmpp/jid.ts';
import { type Presence, stanzaOf } from '../../src/xmpp/stanza.ts';

export const domain = 'direct.test';

/** The way out to nobody. */
export interface CountingStream extends SessionStream {
  stanzas: number;
  characters: number;
}

export function countingStream(): CountingStream {
  return {
    address: '127.0.0.1',
    transport: 'plain',
    queuedBytes: 0,
    stanzas: 0,
    characters: 0,
    send(xml) {
      this.stanzas++;
      this.characters += xml.length;
    },
    close() {},
  };
}

/** A server that keeps everything in memory, with one module more. */
export async function startWith(module: AnyModule, settings: ConfigInput = {}): Promise<Server> {
  const listen = { c2s: 0, address: '127.0.0.1' };
  const config = parseConfig({ database: 'memory', hosts: { [domain]: {} }, listen, ...settings });
  return Server.start(config, { modules: new Map([...(await loadModules(config)), ['probe', module]]) });
}

/** Accounts with nodes, and contacts who hear of them. */
export interface Eventing {
  readonly server: Server;
  readonly nodes: PersonalNodes;
  /** Makes an account whose contacts are there, so many, and hear by `+notify` of a node: on one stream, from a few kinds of clients. */
  hear(user: string, contacts: number, node: string, stream: SessionStream): Promise<void>;
}

const capsSlot = defineSlot<string>('caps', { shared: true });
const KINDS = 8;

export async function startEventing(): Promise<Eventing> {
  const found: { nodes?: PersonalNodes; contacts?: Roster } = {};
  const server = await startWith(
    defineModule({
      summary: 'Hands out what accounts work with',
      xeps: [],
      needs: [pep, roster],
      setup({ use }) {
        found.nodes = use(pep);
        found.contacts = use(roster);
        return {};
      },
    }),
  );
  const host = server.hosts.get(domain)!;
  const contacts = found.contacts!;
  return {
    server,
    nodes: found.nodes!,
    async hear(user, count, node, stream) {
      const account = Jid.of(user, domain);
      await host.accounts.create(user, 'secret');
      for (let i = 0; i < count; i++) {
        const jid = Jid.of(`${user}-${i}`, domain, 'here');
        const contact = jid.withResource('');
        const asks = stanzaOf(el('presence', null, { type: 'subscribe' }), contact, account) as Presence;
        await contacts.receiving(account, contact, 'subscribe', asks);
        await contacts.sending(account, contact, 'subscribed');
        const session = (await server.sessions.bind(host, jid, stream, 'replace'))!;
        await session.set(capsSlot, `!kind.${i % KINDS}\n${node}+notify`);
        await session.setPresence(stanzaOf(el('presence', null), jid, contact) as Presence, 0);
      }
    },
  };
}
