// One worker process: obeys the conductor's orders until it disconnects.

import { profileNamed } from '../profiles/index.ts';
import type { Answer, Order } from './crew.ts';
import type { Steps } from './profile.ts';
import { Tally } from './tally.ts';

let steps: Steps | undefined;

process.on('message', (order: Order) => {
  obey(order).then(
    (tally) => reply({ tally: tally.toData() }),
    (error: unknown) => reply({ error: error instanceof Error ? (error.stack ?? error.message) : String(error) }),
  );
});
process.on('disconnect', () => process.exit(0));

async function obey(order: Order): Promise<Tally> {
  if ('open' in order) {
    steps = profileNamed(order.open).work(order.share);
    return new Tally();
  }
  const step = steps?.[order.step];
  if (!step) throw new Error(`no step ${order.step}`);
  const before = process.cpuUsage();
  const tally = await step(order.seconds);
  const { user, system } = process.cpuUsage(before);
  tally.count('generator_cpu_us', user + system);
  return tally;
}

function reply(answer: Answer): void {
  process.send!(answer);
}
