// What it costs to say something to everybody in a room, for each reader on this node: CPU in nanoseconds, without the sockets. From the
// call to what is handed to the stream, for rooms of several sizes. The modules that look at what goes to a session (client state
// indication) are installed. `npx tsx bench/micro/multicast.ts`
import type { Host } from '../../src/core/host.ts';
import { defineModule } from '../../src/core/module.ts';
import type { Router } from '../../src/core/router.ts';
import type { Server } from '../../src/server.ts';
import { el } from '../../src/xml/element.ts';
import { Jid } from '../../src/xmpp/jid.ts';
import { NS } from '../../src/xmpp/ns.ts';
import { countingStream, domain, startWith } from '../../test/kit/direct.ts';

const SIZES = [1, 10, 100, 1000] as const;
const DELIVERIES = 400_000;
const speaker = Jid.parse(`room@groups.${domain}/romeo`)!;

const stream = countingStream();

function message(id: number) {
  return el(
    'message',
    null,
    { from: speaker.full, type: 'groupchat', id: `message-${id}` },
    el('body', null, undefined, 'It is the east, and Juliet is the sun. '.repeat(3)),
    el('origin-id', NS.stanzaIds, { id: `message-${id}` }),
    el('stanza-id', NS.stanzaIds, { id: `0198f000-${id}`, by: speaker.bare }),
    el('occupant-id', NS.occupantId, { id: 'dGhlIG9jY3VwYW50IHdobyBzYXlzIGl0' }),
  );
}

/** The router of a server, as the module for rooms has it. */
async function begin(): Promise<{ readonly server: Server; readonly router: Router; readonly rooms: Host }> {
  let found: { readonly router: Router; readonly rooms: Host } | undefined;
  const server = await startWith(
    defineModule({
      summary: 'Hands out what rooms work with',
      xeps: [],
      hosts: ['rooms'],
      setup: ({ host, router }) => {
        found = { router, rooms: host };
        return {};
      },
    }),
  );
  return { server, ...found! };
}

const { server, router, rooms } = await begin();
console.log('occupants    ns per reader   ms per message');
for (const size of SIZES) {
  const to: Jid[] = [];
  for (let i = 0; i < size; i++) {
    const wanted = Jid.of(`user${i}`, domain, 'bench');
    to.push((await server.sessions.bind(server.hosts.get(domain)!, wanted, stream, 'replace'))!.jid);
  }
  const messages = Math.ceil(DELIVERIES / size);
  let best = Number.POSITIVE_INFINITY;
  for (let round = 0; round < 4; round++) {
    const start = process.cpuUsage();
    for (let i = 0; i < messages; i++) await router.multicast(message(i), speaker, to, rooms);
    const { user, system } = process.cpuUsage(start);
    best = Math.min(best, ((user + system) * 1000) / (messages * size));
  }
  console.log(String(size).padStart(9), best.toFixed(0).padStart(16), ((best * size) / 1e6).toFixed(3).padStart(16));
}
if (stream.stanzas === 0) throw new Error('nothing was written');
await server.stop();
