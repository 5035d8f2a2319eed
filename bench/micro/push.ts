// What push notifications cost each message between two people who are online: CPU in nanoseconds, without the sockets, from the sender's
// stream to the recipient's. Without the module; with it, and nobody registered; and registered, while the client is there.
// `npx tsx bench/micro/push.ts`
import { defineModule } from '../../src/core/module.ts';
import type { Router } from '../../src/core/router.ts';
import type { Session } from '../../src/core/sessions.ts';
import { el } from '../../src/xml/element.ts';
import { Jid } from '../../src/xmpp/jid.ts';
import { NS } from '../../src/xmpp/ns.ts';
import { type Presence, stanzaOf } from '../../src/xmpp/stanza.ts';
import { countingStream, domain, startWith } from '../../test/kit/direct.ts';

const MESSAGES = 100_000;
const ROUNDS = 6;

interface World {
  readonly title: string;
  run(): Promise<number>;
  stop(): Promise<void>;
}

async function begin(title: string, isOn: boolean, isRegistered: boolean): Promise<World> {
  let router: Router | undefined;
  const probe = defineModule({
    summary: 'Hands out what modules work with',
    xeps: [],
    setup: (parts) => {
      router = parts.router;
      return {};
    },
  });
  // (the archive would be most of it, and fill the memory)
  const off = Object.fromEntries(['mam', ...(isOn ? [] : ['push'])].map((name) => [name, false]));
  const server = await startWith(probe, { modules: off, limits: { enabled: false } });
  const host = server.hosts.get(domain)!;
  const stream = countingStream();
  const enter = async (user: string): Promise<Session> => {
    await host.accounts.create(user, 'secret');
    const jid = Jid.of(user, domain, 'here');
    const session = (await server.sessions.bind(host, jid, stream, 'replace'))!;
    await session.setPresence(stanzaOf(el('presence', null), jid, jid.withResource('')) as Presence, 0);
    return session;
  };
  const [juliet, romeo] = [await enter('juliet'), await enter('romeo')];
  if (isRegistered) {
    const enable = el('enable', NS.push, { jid: 'push.example', node: 'n' });
    await router!.fromClient(romeo, el('iq', null, { type: 'set', id: 'e' }, enable));
  }
  const to = romeo.jid.bare;
  return {
    title,
    async run() {
      const start = process.cpuUsage();
      for (let i = 0; i < MESSAGES; i++) {
        const body = el('body', null, undefined, 'It is the east, and Juliet is the sun.');
        const sent = router!.fromClient(juliet, el('message', null, { to, type: 'chat', id: `m${i}` }, body));
        if (sent !== undefined) await sent;
      }
      const { user, system } = process.cpuUsage(start);
      return ((user + system) * 1000) / MESSAGES;
    },
    async stop() {
      if (stream.stanzas < MESSAGES) throw new Error('messages were not delivered');
      await server.stop();
    },
  };
}

const worlds = [
  await begin('without the module', false, false),
  await begin('nobody registered', true, false),
  await begin('registered, and there', true, true),
];
const best = new Map<World, number>();
// in turns: what else the machine does hits all of them
for (let round = 0; round < ROUNDS; round++) {
  for (const world of worlds) best.set(world, Math.min(best.get(world) ?? Number.POSITIVE_INFINITY, await world.run()));
}
for (const [world, ns] of best) console.log(world.title.padEnd(24), `${ns.toFixed(0)} ns`.padStart(10));
for (const world of worlds) await world.stop();
