// SASL on the server's side (RFC 4422, RFC 6120 6): what is offered on a connection, and one exchange of messages. How the
// messages are framed (RFC 6120, XEP-0388) is for others.
import { randomBytes } from 'node:crypto';
import type { TlsInfo } from '../net/tls.ts';
import { SaslError } from '../xmpp/errors.ts';
import { anonymous } from './anonymous.ts';
import { channelBindings } from './channel.ts';
import { type ScramHash, scramHashes } from './credentials.ts';
import { offerProof } from './downgrade.ts';
import { htMechanisms } from './ht.ts';
import type { AccountAuthority, Conversation, Mechanism, Step, TokenAuthority } from './mechanism.ts';
import { plain } from './plain.ts';
import { scram } from './scram.ts';
import type { Attempt, Throttle } from './throttle.ts';

/** Octets of a message; the longest names and nonces in use are far below. */
const MAX_MESSAGE = 8192;
const NONCE_BYTES = 24;
/** Characters of a name that are remembered and logged: no localpart has more (RFC 7622 3.3). */
const LONGEST_NAME = 1023;

/** What a host allows. */
export interface SaslPolicy {
  /** Whether nothing at all is offered without TLS. */
  readonly tlsRequired: boolean;
  /** A host for guests offers ANONYMOUS and nothing else. */
  readonly anonymous: boolean;
  /** The hash functions that there is no key for, where it is known who wants in. */
  readonly without?: readonly ScramHash[];
}

// Strongest first, and that is the order they are offered in (RFC 6120 6.3.3).
const strongest = [...scramHashes].reverse();
const mechanisms: readonly Mechanism[] = [
  ...strongest.map((hash) => scram(hash, true)),
  ...strongest.map((hash) => scram(hash, false)),
  plain,
  anonymous,
];
const known: readonly Mechanism[] = [...mechanisms, ...htMechanisms];

/** The names of the mechanisms to offer on a connection, in the order of our preference; may be empty. */
export function offeredMechanisms(tls: TlsInfo | undefined, policy: SaslPolicy): readonly string[] {
  if (tls === undefined && policy.tlsRequired) return [];
  if (policy.anonymous) return [anonymous.name];
  const canBind = channelBindings(tls).length > 0;
  const without = (policy.without ?? []).map((hash) => scram(hash, false).name);
  return mechanisms
    .map(({ name }) => name)
    .filter((name) => name !== anonymous.name && (canBind || !name.endsWith('-PLUS')))
    .filter((name) => !without.includes(name.replace(/-PLUS$/, '')));
}

/**
 * The names of the mechanisms to offer for tokens (XEP-0484 3.1), the stronger first: with a binding to each channel that there
 * is, and with none for clients that cannot see theirs.
 */
export function offeredTokenMechanisms(tls: TlsInfo | undefined): readonly string[] {
  const bindings: readonly (string | undefined)[] = channelBindings(tls);
  return htMechanisms
    .filter(({ binding }) => binding === undefined || bindings.includes(binding))
    .map(({ name }) => name);
}

/** Whether the client proves that it knows the password, and so could do it again. */
export function provesPassword(mechanism: string): boolean {
  return mechanism === plain.name || mechanism.startsWith('SCRAM-');
}

export interface ExchangeOptions {
  readonly mechanism: string;
  /** What was offered on this connection for this purpose: nothing else is accepted. */
  readonly offered: readonly string[];
  readonly domain: string;
  readonly tls: TlsInfo | undefined;
  readonly accounts: AccountAuthority;
  /** Of the client that is connecting; mechanisms for tokens need it. */
  readonly tokens?: TokenAuthority;
  /** The bare JID of the stream's header, where the authorization identity must not be another. */
  readonly from?: string;
  /** Slows down guessing; absent where limits are off. */
  readonly throttle?: Throttle;
  /** The client's network address. */
  readonly address: string;
  /** The server's nonces, where they shall not be random: for test vectors. */
  readonly nonce?: () => string;
  /** The attributes of the server's first message in SCRAM, for the same. */
  readonly attributes?: (hash: ScramHash) => string;
}

/** One attempt to authenticate. It is over after the first error, and after success. */
export interface Exchange {
  readonly mechanism: string;
  /** Who wants in, once that is known: a localpart, or what was given for one. For logs. */
  readonly name: string | undefined;
  /** After an error: there were too many, and the stream is to end (`policy-violation`). */
  readonly isLast: boolean;
  /**
   * Takes the client's next message; undefined first when there was no initial response. Waits before it fails when there
   * were failures before.
   * @throws SaslError
   */
  step(data: Buffer | undefined): Promise<Step>;
}

/** @throws SaslError `invalid-mechanism` when the mechanism was not offered */
export function createExchange(options: ExchangeOptions): Exchange {
  const mechanism = known.find(({ name }) => name === options.mechanism);
  if (mechanism === undefined || !options.offered.includes(mechanism.name)) {
    throw new SaslError('invalid-mechanism', 'This mechanism is not offered');
  }
  return new RunningExchange(mechanism, options);
}

class RunningExchange implements Exchange {
  readonly mechanism: string;
  name: string | undefined;
  isLast = false;
  private readonly options: ExchangeOptions;
  private readonly converse: Conversation;
  private state: 'waiting' | 'busy' | 'over' = 'waiting';
  private attempt: Attempt | undefined;

  constructor(mechanism: Mechanism, options: ExchangeOptions) {
    this.mechanism = mechanism.name;
    this.options = options;
    this.converse = mechanism.begin({
      domain: options.domain,
      tls: options.tls,
      offered: options.offered,
      accounts: options.accounts,
      tokens: options.tokens,
      from: options.from,
      attributes: options.attributes ?? ((hash) => offerProof(hash, options.offered, options.tls)),
      nonce: options.nonce ?? (() => randomBytes(NONCE_BYTES).toString('base64')),
      identify: (name) => {
        this.name = name.slice(0, LONGEST_NAME);
        this.begin();
      },
    });
  }

  async step(data: Buffer | undefined): Promise<Step> {
    if (this.state !== 'waiting') throw new SaslError('malformed-request', 'No message was expected');
    this.state = 'busy';
    try {
      if (data !== undefined && data.length > MAX_MESSAGE) throw new SaslError('malformed-request', 'Too long');
      if (this.name !== undefined) this.begin();
      const step = await this.converse(data);
      if ('success' in step) {
        this.attempt?.succeeded();
        this.state = 'over';
      } else {
        this.state = 'waiting';
      }
      return step;
    } catch (error) {
      this.state = 'over';
      await this.punish(error);
      throw error;
    } finally {
      this.attempt?.release();
      this.attempt = undefined;
    }
  }

  private begin(): void {
    const { throttle, address, domain } = this.options;
    if (throttle === undefined || this.name === undefined) return;
    this.attempt ??= throttle.begin(address, `${this.name}@${domain}`);
    if (!this.attempt.isRefused) return;
    this.isLast = true;
    throw new SaslError('temporary-auth-failure', 'Too many failed logins; try again later');
  }

  /** Only what tells about passwords counts. */
  private async punish(error: unknown): Promise<void> {
    if (!(error instanceof SaslError) || this.attempt === undefined) return;
    if (error.condition !== 'not-authorized' && error.condition !== 'account-disabled') return;
    const { delay, isLast } = this.attempt.failed();
    this.isLast = isLast;
    await delay;
  }
}
