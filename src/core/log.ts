// The log: pino's JSON lines, or a readable form of them on a terminal. Levels may differ by part and change while running.
import { format } from 'node:util';
import { type DestinationStream, destination, type Logger as Pino, pino, stdTimeFunctions } from 'pino';
import { type Clock, systemClock } from '../base/clock.ts';
import type { Logger } from '../base/log.ts';

export type LogLevel = 'debug' | 'info' | 'warn' | 'error';
export const logLevels: readonly LogLevel[] = ['debug', 'info', 'warn', 'error'];

interface LogSettings {
  readonly level: LogLevel;
  /** By part: the `part` or `module` field of a child logger. */
  readonly modules: Readonly<Record<string, LogLevel>>;
}
export interface LogOptions extends LogSettings {
  readonly format: 'auto' | 'pretty' | 'json';
  /** Where lines go; standard output unless said otherwise. */
  readonly out?: DestinationStream & { readonly isTTY?: boolean };
  readonly clock?: Clock;
  /** Colours in the readable form; by default where the terminal shows them. */
  readonly colors?: boolean;
  /** Told in every line: which of several processes it is. */
  readonly instance?: string;
}

interface LoggedError {
  /** Milliseconds since 1970. */
  readonly at: number;
  readonly message: string;
}

/** A log with its controls. */
export interface Log extends Logger {
  /** Sets the level of a part, or of all that have none of their own (`*`); for so many milliseconds, or for good. */
  setLevel(part: string, level: LogLevel, forMs?: number): void;
  /** Takes levels from the configuration; temporary ones stay until their time is over. */
  configure(settings: LogSettings): void;
  /** The latest errors, the last one first. */
  recentErrors(): readonly LoggedError[];
  /** Writes out what waits; before the process ends. */
  flush(): void;
}

/** Fields that never show, wherever a line has them. */
const names = ['password', 'secret', 'token', 'authorization', 'cookie', 'credentials'];
const redact = { paths: names.flatMap((name) => [name, `*.${name}`]), censor: '********' };
const KEPT_ERRORS = 20;

/** Creates the log of a process. */
export function createLog(options: LogOptions): Log {
  const own = options.out === undefined ? destination({ dest: 1, sync: process.stdout.isTTY === true }) : undefined;
  const out = options.out ?? own!;
  const isTerminal = options.out === undefined ? process.stdout.isTTY === true : options.out.isTTY === true;
  const readable = options.format === 'pretty' || (options.format === 'auto' && isTerminal);
  const colors = options.colors ?? (isTerminal && !process.env.NO_COLOR);
  const clock = options.clock ?? systemClock;
  const stream = readable ? { write: (line: string) => out.write(prettyLine(line, colors)) } : out;
  const root = pino(
    // which lines are written is decided by the levels of their part, below
    {
      level: 'debug',
      base: options.instance === undefined ? null : { instance: options.instance },
      redact,
      timestamp: stdTimeFunctions.isoTime,
      formatters: { level: (level) => ({ level }) },
    },
    stream,
  );
  const levels = new Levels(options, clock);
  const errors: LoggedError[] = [];
  const remember = (fields: object, message: string | undefined): void => {
    const cause = (fields as { err?: unknown }).err;
    const text = [message, cause instanceof Error ? cause.message : undefined].filter(Boolean).join(': ');
    errors.unshift({ at: clock.now(), message: text || 'error' });
    errors.length = Math.min(errors.length, KEPT_ERRORS);
  };
  const log = new PartLog(root, levels.of(''), levels, remember);
  return {
    debug: (fields, message) => log.debug(fields, message),
    info: (fields, message) => log.info(fields, message),
    warn: (fields, message) => log.warn(fields, message),
    error: (fields, message) => log.error(fields, message),
    child: (fields) => log.child(fields),
    setLevel: (part, level, forMs) => levels.set(part, level, forMs),
    configure: (settings) => levels.configure(settings),
    recentErrors: () => [...errors],
    flush() {
      try {
        own?.flushSync();
      } catch {
        // whoever read it has gone
      }
    },
  };
}

/** The level of one part, shared by all its loggers. */
interface Threshold {
  value: number;
}

class Levels {
  private settings: LogSettings;
  private readonly clock: Clock;
  private readonly thresholds = new Map<string, Threshold>();
  private readonly overrides = new Map<string, { readonly level: LogLevel; readonly cancel: () => void }>();

  constructor(settings: LogSettings, clock: Clock) {
    this.settings = settings;
    this.clock = clock;
  }

  of(part: string): Threshold {
    let threshold = this.thresholds.get(part);
    if (!threshold) {
      threshold = { value: 0 };
      this.thresholds.set(part, threshold);
      this.apply(part, threshold);
    }
    return threshold;
  }

  set(part: string, level: LogLevel, forMs?: number): void {
    this.overrides.get(part)?.cancel();
    const end = (): void => {
      this.overrides.delete(part);
      this.applyAll();
    };
    const cancel = forMs === undefined ? () => {} : this.clock.after(forMs, end);
    this.overrides.set(part, { level, cancel });
    this.applyAll();
  }

  configure(settings: LogSettings): void {
    this.settings = settings;
    this.applyAll();
  }

  private applyAll(): void {
    for (const [part, threshold] of this.thresholds) this.apply(part, threshold);
  }

  private apply(part: string, threshold: Threshold): void {
    const named = this.overrides.get(part)?.level ?? this.settings.modules[part];
    threshold.value = logLevels.indexOf(named ?? this.overrides.get('*')?.level ?? this.settings.level);
  }
}

type Remember = (fields: object, message: string | undefined) => void;

class PartLog implements Logger {
  private readonly pino: Pino;
  private readonly threshold: Threshold;
  private readonly levels: Levels;
  private readonly remember: Remember;

  constructor(inner: Pino, threshold: Threshold, levels: Levels, remember: Remember) {
    this.pino = inner;
    this.threshold = threshold;
    this.levels = levels;
    this.remember = remember;
  }

  debug(fields: object, message?: string): void {
    if (this.threshold.value <= 0) this.pino.debug(fields, message);
  }
  info(fields: object, message?: string): void {
    if (this.threshold.value <= 1) this.pino.info(fields, message);
  }
  warn(fields: object, message?: string): void {
    if (this.threshold.value <= 2) this.pino.warn(fields, message);
  }
  error(fields: object, message?: string): void {
    this.remember(fields, message);
    this.pino.error(fields, message);
  }
  child(fields: object): Logger {
    const { module, part } = fields as { module?: unknown; part?: unknown };
    const name = typeof module === 'string' ? module : typeof part === 'string' ? part : undefined;
    const threshold = name === undefined ? this.threshold : this.levels.of(name);
    return new PartLog(this.pino.child(fields), threshold, this.levels, this.remember);
  }
}

const paint: Readonly<Record<string, string>> = { debug: '90', info: '36', warn: '33', error: '31' };

/** One JSON line as a person reads it; anything else as it is. */
export function prettyLine(line: string, colors: boolean): string {
  let fields: Record<string, unknown>;
  try {
    fields = JSON.parse(line);
  } catch {
    return line;
  }
  const { level, time, instance, msg, part, module, host, err, ...others } = fields;
  const color = (code: string | undefined, text: string): string =>
    colors && code !== undefined ? `\u001b[${code}m${text}\u001b[0m` : text;
  const at = typeof time === 'string' ? time.slice(11, 19) : '';
  const where = [instance, host, module ?? part].filter((name) => typeof name === 'string').join(' ');
  const words = [
    color('90', visible(at)),
    color(paint[String(level)], visible(level).padEnd(5)),
    where === '' ? '' : color('1', visible(where)),
    msg === undefined ? '' : visible(msg),
    ...Object.entries(others).map(([name, value]) => color('90', visible(`${name}=${fieldText(value)}`))),
  ];
  const text = words.filter((word) => word !== '').join(' ');
  return `${text}${err === undefined ? '' : errorText(err)}\n`;
}

function fieldText(value: unknown): string {
  if (typeof value !== 'string') return JSON.stringify(value);
  return /^[^\s"=]+$/.test(value) ? value : JSON.stringify(value);
}

function errorText(value: unknown): string {
  const { stack, message } = (typeof value === 'object' && value !== null ? value : {}) as Record<string, unknown>;
  return `\n    ${visible(format('%s', stack ?? message ?? value)).replaceAll('\n', '\n    ')}`;
}

/** Without control characters, which could draw on the terminal of whoever reads it. */
function visible(word: unknown): string {
  return String(word).replace(/(?!\n)\p{Cc}/gu, (char) => `\\x${char.charCodeAt(0).toString(16).padStart(2, '0')}`);
}
