// The worker processes that make the load, as seen from the process that conducts them.

import type { ChildProcess } from 'node:child_process';
import { forkScript } from './fork.ts';
import type { Share } from './profile.ts';
import { Tally, type TallyData } from './tally.ts';

export type Order =
  | { readonly open: string; readonly share: Share }
  | { readonly step: string; readonly seconds: number };
export type Answer = { readonly tally: TallyData } | { readonly error: string };

export class Crew {
  private readonly workers: readonly ChildProcess[];

  private constructor(workers: readonly ChildProcess[]) {
    this.workers = workers;
  }

  /** Forks the workers and gives each its share of the profile's work. */
  static async start(profile: string, share: Omit<Share, 'worker'>): Promise<Crew> {
    const script = new URL('./worker.ts', import.meta.url);
    const workers = Array.from({ length: share.workers }, () => forkScript(script));
    const crew = new Crew(workers);
    await crew.order((worker) => ({ open: profile, share: { ...share, worker } }));
    return crew;
  }

  get size(): number {
    return this.workers.length;
  }

  /** Runs one step in every worker at the same time and sums up. Throws when a worker dies. */
  run(step: string, seconds = 0): Promise<Tally> {
    return this.order(() => ({ step, seconds }));
  }

  stop(): void {
    for (const worker of this.workers) if (worker.connected) worker.disconnect();
  }

  private async order(orderFor: (worker: number) => Order): Promise<Tally> {
    const sum = new Tally();
    const answers = this.workers.map((worker, index) => ask(worker, orderFor(index)));
    for (const answer of await Promise.all(answers)) {
      if ('error' in answer) throw new Error(answer.error);
      sum.add(answer.tally);
    }
    return sum;
  }
}

function ask(worker: ChildProcess, order: Order): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const onExit = (code: number | null) => reject(new Error(`a worker of the load generator ended with ${code}`));
    worker.once('exit', onExit);
    worker.once('message', (answer) => {
      worker.off('exit', onExit);
      resolve(answer as Answer);
    });
    worker.send(order);
  });
}
