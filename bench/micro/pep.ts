// What it costs an account to publish something, for each device of a contact on this node that hears of it: CPU in nanoseconds, without the sockets
// and with the memory driver. From the request to what is handed to the streams. `npx tsx bench/micro/pep.ts`
import { parseConfig } from '../../src/config/load.ts';
import { defineModule } from '../../src/core/module.ts';
import { defineSlot, type SessionStream } from '../../src/core/sessions.ts';
import { loadModules } from '../../src/index.ts';
import { type PersonalNodes, pep } from '../../src/modules/pep/service.ts';
import { type Roster, roster } from '../../src/modules/roster/index.ts';
import { Server } from '../../src/server.ts';
import { el } from '../../src/xml/element.ts';
import { Jid } from '../../src/xmpp/jid.ts';
import { type Presence, stanzaOf } from '../../src/xmpp/stanza.ts';

const SIZES = [1, 10, 100, 1000] as const;
const DELIVERIES = 200_000;
const domain = 'bench.test';
const NODE = 'http://jabber.org/protocol/tune';

let written = 0;
const stream: SessionStream = {
  address: '127.0.0.1',
  transport: 'plain',
  queuedBytes: 0,
  send: (xml) => {
    written += xml.length;
  },
  close() {},
};

const found: { nodes?: PersonalNodes; contacts?: Roster } = {};
const probe = defineModule({
  summary: 'Hands out what accounts work with',
  xeps: [],
  needs: [pep, roster],
  setup({ use }) {
    found.nodes = use(pep);
    found.contacts = use(roster);
    return {};
  },
});
const config = parseConfig({ database: 'memory', hosts: { [domain]: {} }, listen: { c2s: 0, address: '127.0.0.1' } });
const modules = new Map([...(await loadModules(config)), ['probe', probe as never] as const]);
const server = await Server.start(config, { modules });
const host = server.hosts.get(domain)!;
const nodes = found.nodes!;
const contacts = found.contacts!;

const capsSlot = defineSlot<string>('caps', { shared: true });
const tune = el('tune', NODE, undefined, el('title', NODE, undefined, 'It is the east, and Juliet is the sun'));

console.log('devices    ns per device   ms per item');
for (const size of SIZES) {
  const user = `romeo${size}`;
  const account = Jid.of(user, domain);
  await host.accounts.create(user, 'secret');
  for (let i = 0; i < size; i++) {
    const jid = Jid.of(`user${size}-${i}`, domain, 'bench');
    const contact = jid.withResource('');
    const asks = stanzaOf(el('presence', null, { type: 'subscribe' }), contact, account) as Presence;
    await contacts.receiving(account, contact, 'subscribe', asks);
    await contacts.sending(account, contact, 'subscribed');
    const session = (await server.sessions.bind(host, jid, stream, 'replace'))!;
    await session.set(capsSlot, `!bench.${i % 8}\n${NODE}+notify`);
    await session.setPresence(stanzaOf(el('presence', null), jid, contact) as Presence, 0);
  }
  const items = Math.ceil(DELIVERIES / size);
  let best = Number.POSITIVE_INFINITY;
  for (let round = 0; round < 4; round++) {
    const before = written;
    const start = process.cpuUsage();
    for (let i = 0; i < items; i++) await nodes.publish(user, NODE, tune, { id: 'current' });
    const { user: own, system } = process.cpuUsage(start);
    best = Math.min(best, ((own + system) * 1000) / (items * size));
    if (written === before) throw new Error('nothing was written');
  }
  console.log(String(size).padStart(7), best.toFixed(0).padStart(16), ((best * size) / 1e6).toFixed(3).padStart(13));
}
await server.stop();
