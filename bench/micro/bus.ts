// What a message costs from one node to another over Redis: CPU of the node that sends, of the one that receives, and of Redis, in
// microseconds, at several rates; and how long it was on its way. `npx tsx bench/micro/bus.ts`: with the machine's own Redis.
import { type ChildProcess, fork } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { performance } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { systemClock } from '../../src/base/clock.ts';
import { silent } from '../../src/base/log.ts';
import type { Frame, NodeId } from '../../src/cluster/cluster.ts';
import { createRedisCluster } from '../../src/cluster/redis/redis.ts';
import { startRedis } from '../../test/kit/redis.ts';
import { usageOf } from '../load/proc.ts';

const SECONDS = 4;
/** Messages in a turn, and milliseconds between two turns; 0: as fast as it goes. */
const loads = [
  [1, 1],
  [5, 1],
  [20, 1],
  [100, 5],
  [200, 0],
] as const;

interface Figures {
  readonly heard: number;
  readonly cpu: number;
  readonly median: number;
}

function message(): Frame {
  const id = randomUUID();
  const body = 'It is the east, and Juliet is the sun. '.repeat(6);
  const xml = `<message from='romeo@chat.example.org/orchard' to='juliet@chat.example.org/balcony' type='chat' id='${id}'><body>${body}</body><origin-id xmlns='urn:xmpp:sid:0' id='${id}'/><at>${Date.now()}</at></message>`;
  return {
    kind: 'deliver',
    to: [{ jid: 'juliet@chat.example.org/balcony', sid: 'Zm9vYmFyYmF6.host-2:abcdefgh' }],
    xml,
  };
}

const micros = ({ user, system }: NodeJS.CpuUsage): number => user + system;

async function receive(url: string): Promise<void> {
  const cluster = await createRedisCluster({ target: url, name: 'receiver', log: silent, clock: systemClock });
  let delays: number[] = [];
  cluster.receive(({ xml }) => {
    delays.push(Date.now() - Number(/<at>(\d+)/.exec(xml)?.[1]));
  });
  let start = process.cpuUsage();
  process.on('message', () => {
    delays.sort((a, b) => a - b);
    const median = delays[delays.length >> 1] ?? 0;
    process.send!({ heard: delays.length, cpu: micros(process.cpuUsage(start)), median } satisfies Figures);
    delays = [];
    start = process.cpuUsage();
  });
  process.send!(cluster.self);
}

async function figures(child: ChildProcess): Promise<Figures> {
  child.send('figures');
  const [said] = (await once(child, 'message')) as [Figures];
  return said;
}

async function main(): Promise<void> {
  const redis = await startRedis();
  const child = fork(fileURLToPath(import.meta.url), [redis.url]);
  const [to] = (await once(child, 'message')) as [NodeId];
  const cluster = await createRedisCluster({ target: redis.url, name: 'sender', log: silent, clock: systemClock });
  try {
    console.log('messages a second   sender  receiver  Redis   sum [us]   on the way [ms]');
    for (const [count, pause] of loads) {
      const frames = Array.from({ length: count }, message);
      await figures(child);
      const before = usageOf([redis.pid], false).database!.cpu;
      const start = process.cpuUsage();
      const began = performance.now();
      let sent = 0;
      while (performance.now() - began < SECONDS * 1000) {
        const at = `<at>${Date.now()}</at>`;
        let last: unknown;
        for (const frame of frames) last = cluster.send(to, { ...frame, xml: frame.xml.replace(/<at>\d+<\/at>/, at) });
        sent += count;
        // as fast as Redis takes it
        await (pause === 0 ? last : sleep(pause));
      }
      const elapsed = (performance.now() - began) / 1000;
      while (cluster.backlog > 0) await sleep(20);
      const sender = micros(process.cpuUsage(start)) / sent;
      const { heard, cpu, median } = await figures(child);
      const server = ((usageOf([redis.pid], false).database!.cpu - before) * 1e6) / sent;
      if (heard !== sent) throw new Error(`${sent} were sent, and ${heard} arrived`);
      const cells = [sender, cpu / sent, server, sender + cpu / sent + server].map((us) => us.toFixed(1).padStart(8));
      console.log(`${(sent / elapsed).toFixed(0).padStart(12)} ${cells.join(' ')} ${String(median).padStart(12)}`);
    }
  } finally {
    await cluster.close();
    child.kill();
    await redis.remove();
  }
}

await (process.argv[2] === undefined ? main() : receive(process.argv[2]));
