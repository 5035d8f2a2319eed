// Measures the server's processes between two moments.

import { type ServerUsage, type Usage, usageOf } from './proc.ts';

export interface Spent {
  readonly seconds: number;
  /** CPU seconds of the server's processes, or undefined when no process is known. */
  readonly server: number | undefined;
  readonly database: number | undefined;
}

export class Probe {
  private readonly pids: readonly number[];
  private readonly databasePids: readonly number[];

  /** The roots of the process trees of the server and of a database outside them; none when they run elsewhere. */
  constructor(pids: readonly number[], databasePids: readonly number[] = []) {
    this.pids = pids;
    this.databasePids = databasePids;
  }

  get isBlind(): boolean {
    return this.pids.length === 0;
  }

  /** Starts measuring CPU time; call the result to stop. */
  start(): () => Spent {
    const startedAt = process.hrtime.bigint();
    const before = this.read(false);
    return () => {
      const after = this.read(false);
      return {
        seconds: Number(process.hrtime.bigint() - startedAt) / 1e9,
        server: after && before ? after.server.cpu - before.server.cpu : undefined,
        database: after?.database && before?.database ? after.database.cpu - before.database.cpu : undefined,
      };
    };
  }

  memory(): { server: Usage; database: Usage | undefined } | undefined {
    return this.read(true);
  }

  private read(withMemory: boolean): ServerUsage | undefined {
    if (this.isBlind) return undefined;
    const usage = usageOf([...this.pids, ...this.databasePids], withMemory);
    if (usage.server.processes === 0) throw new Error(`no process ${this.pids.join(', ')}: did the server end?`);
    return usage;
  }
}
