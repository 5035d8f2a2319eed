// A node in a process of its own, for tests that kill or freeze it: `cluster-process.ts URL PREFIX NAME BEAT`. Says each step as a
// JSON line: `ready` with its identity, `heard` for each frame, `expelled` with the new one.
import { systemClock } from '../../src/base/clock.ts';
import { silent } from '../../src/base/log.ts';
import { createRedisCluster } from '../../src/cluster/redis/redis.ts';

const say = (line: object): void => void process.stdout.write(`${JSON.stringify(line)}\n`);

async function main([target, prefix, name, beat]: readonly string[]): Promise<void> {
  const cluster = await createRedisCluster({
    target: target!,
    prefix: prefix!,
    name: name!,
    beat: Number(beat),
    log: silent,
    clock: systemClock,
  });
  cluster.receive((frame, from) => say({ step: 'heard', kind: frame.kind, xml: frame.xml, from }));
  cluster.onExpelled(() => say({ step: 'expelled', self: cluster.self }));
  cluster.answer('echo', (body) => body);
  say({ step: 'ready', self: cluster.self });
}

main(process.argv.slice(2)).catch((err: unknown) => {
  say({ step: 'failed', why: String(err) });
  process.exitCode = 1;
});
