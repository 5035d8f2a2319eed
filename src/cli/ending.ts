// How a process of the server ends: in order when it is told to, at once when it is told again or takes too long.
import { ConfigError, formatProblem } from '../config/problems.ts';
import type { Log } from '../core/log.ts';

/** How long an orderly stop may take, in milliseconds. */
export const STOP_LIMIT = 15_000;
/** Terminals and npm may each pass the same Ctrl+C on: only a later one is a second one. */
const SAME_SIGNAL = 400;

export class Ending {
  /** Resolves with the exit code. */
  readonly ended: Promise<number>;
  private readonly log: Log;
  private readonly finish: () => Promise<void>;
  private readonly limit: number;
  /** When it was told to stop. */
  private begun = 0;
  private code = 0;
  private hasStarted = false;
  private end: (code: number) => void = () => {};

  /**
   * @param finish stops everything; called once
   * @param limit how long that may take, in milliseconds
   */
  constructor(log: Log, finish: () => Promise<void>, limit = STOP_LIMIT) {
    this.log = log;
    this.finish = finish;
    this.limit = limit;
    this.ended = new Promise((done) => {
      this.end = done;
    });
  }

  get isStopping(): boolean {
    return this.begun !== 0;
  }

  /** Listens to what the system tells the process. */
  attend(reload: () => Promise<unknown>): void {
    for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => this.stop(signal));
    process.on('SIGHUP', () => {
      reload().catch((error: unknown) => {
        const problems = error instanceof ConfigError ? error.problems.map(formatProblem) : undefined;
        for (const problem of problems ?? []) this.log.error({}, `not reloaded: ${problem}`);
        if (!problems) this.log.error({ err: error }, 'not reloaded');
      });
    });
    this.attendFailures();
  }

  /** What nobody caught ends the process in order. */
  attendFailures(): void {
    // a reader of the log that went away is no reason to end
    process.stdout.on('error', () => {});
    process.stderr.on('error', () => {});
    process.on('unhandledRejection', (error) => this.log.error({ err: error }, 'a failure that nobody handled'));
    process.on('uncaughtException', (error) => {
      this.log.error({ err: error }, 'a failure that nobody caught; stopping');
      this.stop('failure', 1);
    });
  }

  /** Everything is there that `finish` stops; should a stop have been asked for already, it begins. */
  started(): void {
    this.hasStarted = true;
    if (this.isStopping) void this.run();
  }

  /** Begins to stop; the second time, unless it is the same signal once more, ends the process. */
  stop(why: string, code = 0): void {
    const now = Date.now();
    if (this.isStopping) {
      if (now - this.begun >= SAME_SIGNAL) this.abort();
      return;
    }
    this.begun = now;
    this.code = code;
    this.log.info({ why }, 'stopping');
    setTimeout(() => {
      this.log.error({}, 'the stop takes too long; ending now');
      this.abort();
    }, this.limit).unref();
    if (this.hasStarted) void this.run();
  }

  /** Begins to stop, unless it has begun. */
  stopOnce(why: string): void {
    if (!this.isStopping) this.stop(why);
  }

  private abort(): void {
    this.log.flush();
    process.exit(1);
  }

  private async run(): Promise<void> {
    let { code } = this;
    try {
      await this.finish();
      this.log.info({}, 'stopped');
    } catch (error) {
      this.log.error({ err: error }, 'the stop was not orderly');
      code = 1;
    }
    this.end(code);
  }
}
