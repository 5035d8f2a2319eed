// What it costs an account to publish something, for each device of a contact on this node that hears of it: CPU in nanoseconds, without the sockets
// and with the memory driver. From the request to what is handed to the streams. `npx tsx bench/micro/pep.ts`
import { el } from '../../src/xml/element.ts';
import { countingStream, startEventing } from '../../test/kit/direct.ts';

const SIZES = [1, 10, 100, 1000] as const;
const DELIVERIES = 200_000;
const NODE = 'http://jabber.org/protocol/tune';

const stream = countingStream();
const { server, nodes, hear } = await startEventing();
const tune = el('tune', NODE, undefined, el('title', NODE, undefined, 'It is the east, and Juliet is the sun'));

console.log('devices    ns per device   ms per item');
for (const size of SIZES) {
  const user = `romeo${size}`;
  await hear(user, size, NODE, stream);
  const items = Math.ceil(DELIVERIES / size);
  let best = Number.POSITIVE_INFINITY;
  for (let round = 0; round < 4; round++) {
    const before = stream.stanzas;
    const start = process.cpuUsage();
    for (let i = 0; i < items; i++) await nodes.publish(user, NODE, tune, { id: 'current' });
    const { user: own, system } = process.cpuUsage(start);
    best = Math.min(best, ((own + system) * 1000) / (items * size));
    if (stream.stanzas - before !== items * size) throw new Error('not all devices hear');
  }
  console.log(String(size).padStart(7), best.toFixed(0).padStart(16), ((best * size) / 1e6).toFixed(3).padStart(13));
}
await server.stop();
