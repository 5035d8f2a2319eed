// One node as the primary sees it: a process that was forked, what it says, and when it ends.
import cluster, { type Worker } from 'node:cluster';
import type { Readable } from 'node:stream';
import { CommandError } from '../core/commands.ts';
import type { StartFacts } from './banner.ts';
import { type Answers, Channel } from './channel.ts';
import type { Plan } from './node.ts';

/** Why a node did not start, in its own words. */
export class NodeStartError extends Error {
  override readonly name = 'NodeStartError';
  /** The configuration is wrong. */
  readonly isConfig: boolean;
  constructor(message: string, isConfig: boolean) {
    super(message);
    this.isConfig = isConfig;
  }
}

export interface NodeProcessParts {
  readonly plan: Plan;
  /** Whole lines of what it writes. */
  readonly write: (lines: string) => void;
  /** What it may ask the primary. */
  readonly answers: Answers;
}

export class NodeProcess {
  readonly name: string;
  readonly started = Date.now();
  /** Resolves when it serves; rejects with NodeStartError when it has ended before. */
  readonly ready: Promise<StartFacts>;
  /** Resolves when the process has ended, with how it did. */
  readonly ended: Promise<string>;
  isReady = false;
  /** What it is to the other nodes, once it has said so. */
  life: string | undefined;
  /** It was told to stop. */
  isStopping = false;
  private readonly worker: Worker;
  private readonly channel: Channel;

  constructor({ plan, write, answers }: NodeProcessParts) {
    this.name = plan.name;
    const worker = cluster.fork();
    this.worker = worker;
    for (const stream of [worker.process.stdout, worker.process.stderr]) if (stream !== null) byLines(stream, write);
    let failure: NodeStartError | undefined;
    this.ended = new Promise((resolve) => {
      worker.process.once('error', (error) => resolve(error.message));
      worker.process.once('exit', (code, signal) => resolve(signal ?? `exit code ${code}`));
    });
    const { promise, resolve, reject } = deferred<StartFacts>();
    this.ready = promise;
    this.channel = new Channel(
      { send: (message) => send(worker, message), onMessage: (fn) => void worker.on('message', fn) },
      {
        ...answers,
        plan: () => plan,
        ready: (facts: StartFacts) => {
          this.isReady = true;
          resolve(facts);
        },
        life: (life: string) => {
          this.life = life;
        },
        failed: ({ message, isConfig }: { readonly message: string; readonly isConfig: boolean }) => {
          failure = new NodeStartError(message, isConfig);
        },
      },
    );
    void this.ended.then((how) => {
      this.isReady = false;
      this.channel.end(`node ${this.name} has ended`);
      reject(failure ?? new NodeStartError(`node ${this.name} ended while it started (${how})`, false));
    });
    // (where nobody waits for it)
    this.ready.catch(() => {});
  }

  get pid(): number | undefined {
    return this.worker.process.pid;
  }

  /** Rejects with CommandError, as the node refused it; `failed` when it does not answer. */
  ask(what: string, body?: unknown, patience?: number): Promise<unknown> {
    return this.channel.ask(what, body, patience);
  }

  /** Runs an administrative command there. Rejects with CommandError. */
  async command(name: string, args: unknown): Promise<object> {
    if (!this.isReady) throw new CommandError('not-running', `node ${this.name} is just starting; try again`);
    return (await this.ask('command', { name, args }, Number.POSITIVE_INFINITY)) as object;
  }

  /** Ends it by force. */
  kill(): void {
    this.worker.process.kill('SIGKILL');
  }

  /** Ends it in order, or by force when that takes longer than `limit` milliseconds; resolves when it is gone. */
  async stop(limit: number): Promise<void> {
    this.isStopping = true;
    const timer = setTimeout(() => this.kill(), limit);
    this.ask('stop').catch(() => this.worker.process.kill('SIGTERM'));
    await this.ended;
    clearTimeout(timer);
  }
}

/** A process that has just ended is told nothing. */
function send(worker: Worker, message: object): void {
  if (worker.isConnected()) worker.send(message as never, undefined, undefined, () => {});
}

/** Hands on whole lines only, so that those of several processes do not get into one another. */
function byLines(stream: Readable, write: (lines: string) => void): void {
  let rest = '';
  stream.setEncoding('utf8').on('data', (text: string) => {
    const end = text.lastIndexOf('\n') + 1;
    if (end === 0) rest += text;
    else {
      write(rest + text.slice(0, end));
      rest = text.slice(end);
    }
  });
  stream.on('end', () => {
    if (rest !== '') write(`${rest}\n`);
  });
}

function deferred<T>(): { promise: Promise<T>; resolve: (value: T) => void; reject: (error: Error) => void } {
  let resolve: (value: T) => void = () => {};
  let reject: (error: Error) => void = () => {};
  const promise = new Promise<T>((done, failed) => {
    resolve = done;
    reject = failed;
  });
  return { promise, resolve, reject };
}
