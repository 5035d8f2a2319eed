// Reaching the machines of a domain one after another (RFC 6120 3.2, XEP-0368), and leaving alone those that could not be reached.
import type { Socket } from 'node:net';
import type { Clock } from '../base/clock.ts';
import type { Dns, Service, Target } from '../net/dns.ts';
import { connectFirst, NoAddress } from '../net/race.ts';
import type { Trace } from './trace.ts';

/** For one address, in milliseconds. */
const ATTEMPT_TIMEOUT = 10_000;
/** A domain may name many machines; so many are tried. */
const MOST_TARGETS = 8;

export interface Dialled {
  readonly socket: Socket;
  readonly target: Target;
}

/** One search for a domain: every call of {@link next} goes on behind the last connection that was no good. */
export class Dialler {
  private readonly dns: Dns;
  private readonly clock: Clock;
  private readonly domain: string;
  private readonly trace: Trace;
  private readonly attemptTimeout: number;
  private service: Service | undefined;
  private index = 0;
  /** Whether the domain has machines that did not answer, or name servers that did not; otherwise it is not there at all. */
  isTemporary = false;

  constructor(dns: Dns, clock: Clock, domain: string, trace: Trace, attemptTimeout = ATTEMPT_TIMEOUT) {
    this.dns = dns;
    this.clock = clock;
    this.domain = domain;
    this.trace = trace;
    this.attemptTimeout = attemptTimeout;
  }

  /** A connection to the next machine that takes one; undefined when there is none left. Never rejects. */
  async next(): Promise<Dialled | undefined> {
    if (this.service === undefined) {
      this.service = await this.dns.serversOf(this.domain);
      this.isTemporary = this.service.isTemporary;
      this.trace.add('dns', this.service.why, this.service.targets.length > 0);
    }
    for (;;) {
      const target = this.service.targets[this.index];
      if (target === undefined || this.index >= MOST_TARGETS) return undefined;
      this.index++;
      const socket = await this.connect(target);
      if (socket !== undefined) return { socket, target };
    }
  }

  /** The last machine is to be connected to once more. */
  again(): void {
    this.index--;
  }

  private async connect({ host, port }: Target): Promise<Socket | undefined> {
    let hasAddress = false;
    try {
      return await connectFirst({
        addresses: async (family) => {
          const addresses = await this.dns.addresses(host, family);
          hasAddress ||= addresses.length > 0;
          return addresses;
        },
        port,
        clock: this.clock,
        attemptTimeout: this.attemptTimeout,
        tell: (text, isOk) => this.trace.add('tcp', text, isOk),
      });
    } catch (error) {
      // machines that are named and do not answer are away; names without an address lead nowhere
      if (!(error instanceof NoAddress)) this.isTemporary = true;
      if (!hasAddress) this.trace.add('dns', `${host}: ${error instanceof Error ? error.message : error}`, false);
      return undefined;
    }
  }
}

/** Delays between attempts to reach a domain, in milliseconds. */
const FIRST_DELAY = 2_000;
const LONGEST_DELAY = 120_000;

interface Remembered<T> {
  readonly failure: T;
  readonly delay: number;
  readonly at: number;
  readonly until: number;
}

/** How many are remembered. */
const REMEMBERED = 4096;

/** After each failure a domain (or a pair of them) is left alone for longer, until it is reached or comes to us. */
export class BackOff<T> {
  private readonly clock: Clock;
  private readonly random: () => number;
  private readonly failures = new Map<string, Remembered<T>>();

  constructor(clock: Clock, random: () => number = Math.random) {
    this.clock = clock;
    this.random = random;
  }

  /**
   * Why the domain should be left alone for now; undefined when it may be tried.
   * @param isWanted somebody came in its name, so that it may be back: then it is left alone for a moment only
   */
  failure(key: string, isWanted = false): T | undefined {
    const known = this.failures.get(key);
    if (known === undefined) return undefined;
    const until = isWanted ? Math.min(known.until, known.at + FIRST_DELAY) : known.until;
    return this.clock.now() < until ? known.failure : undefined;
  }

  failed(key: string, failure: T): void {
    const before = this.failures.get(key);
    this.failures.delete(key);
    const delay = before === undefined ? FIRST_DELAY : Math.min(before.delay * 2, LONGEST_DELAY);
    // not all at the same moment
    const at = this.clock.now();
    this.failures.set(key, { failure, delay, at, until: at + delay * (0.75 + this.random() / 2) });
    if (this.failures.size > REMEMBERED) {
      const [oldest] = this.failures.keys();
      this.failures.delete(oldest!);
    }
  }

  succeeded(key: string): void {
    this.failures.delete(key);
  }

  /** All that is known of these is of no account any more. */
  forget(isMeant: (key: string) => boolean): void {
    for (const key of this.failures.keys()) if (isMeant(key)) this.failures.delete(key);
  }
}
