// Attempts to log in on one stream header (RFC 6120 6.4.5), however they are framed: what is offered, the exchange that is under
// way, what failures cost.
import type { ScramHash } from '../auth/credentials.ts';
import {
  createExchange,
  type Exchange,
  type ExchangeOptions,
  offeredMechanisms,
  offeredTokenMechanisms,
} from '../auth/sasl.ts';
import type { Host } from '../core/host.ts';
import type { TlsInfo } from '../net/tls.ts';
import type { Transport } from '../net/transport.ts';
import { StorageUnavailable } from '../storage/errors.ts';
import { SaslError, StreamError } from '../xmpp/errors.ts';
import type { C2sContext } from './context.ts';

/** The two ways to speak SASL in XMPP: RFC 6120 6 and XEP-0388. */
export type SaslProfile = 'SASL' | 'SASL2';

export class LoginAttempts {
  readonly host: Host;
  readonly tls: TlsInfo | undefined;
  /** The names of the mechanisms, strongest first; none where there has to be TLS first. */
  readonly offered: readonly string[];
  /** Those for tokens, which SASL2 alone can carry (XEP-0484). */
  readonly offeredForTokens: readonly string[];
  private readonly address: string;
  private readonly context: C2sContext;
  private exchange: Exchange | undefined;
  private last: Exchange | undefined;
  private profile: SaslProfile | undefined;
  private failures = 0;

  /** @param without the hash functions that the account has no key for, where it is known which one it is */
  constructor(
    host: Host,
    { tls, address, isConfidential }: Transport,
    context: C2sContext,
    without: readonly ScramHash[],
  ) {
    this.host = host;
    this.tls = tls;
    this.address = address;
    this.context = context;
    const anonymous = host.settings.authentication === 'anonymous';
    const tlsRequired = context.settings().requireTls && !isConfidential;
    this.offered = offeredMechanisms(tls, { tlsRequired, anonymous, without });
    // XEP-0484 6: a proof without a challenge is worth nothing where others can listen
    const isFast = isConfidential && !anonymous && host.accounts.clients.hasTokens;
    this.offeredForTokens = isFast ? offeredTokenMechanisms(tls) : [];
  }

  /** Whether a mechanism is offered that binds to the channel. */
  get canBind(): boolean {
    return this.offered.some((name) => name.endsWith('-PLUS'));
  }

  /** Whether an exchange is under way. */
  get isUnderWay(): boolean {
    return this.exchange !== undefined;
  }

  /** @throws StreamError when the stream has used the other profile before */
  use(profile: SaslProfile): void {
    this.profile ??= profile;
    if (this.profile !== profile) throw new StreamError('policy-violation', `this stream uses ${this.profile}`);
  }

  /** @throws SaslError where the mechanism is not among those that were offered for the purpose */
  begin(mechanism: string | undefined, options: Pick<ExchangeOptions, 'tokens' | 'from'> = {}): void {
    this.last = undefined;
    if (mechanism === undefined) throw new SaslError('invalid-mechanism', 'No mechanism was named');
    // RFC 6120 6.5.5: said plainly, so that the client knows what to do
    if (this.offered.length === 0) throw new SaslError('encryption-required');
    const { throttle } = this.context;
    this.exchange = createExchange({
      mechanism,
      offered: options.tokens === undefined ? this.offered : this.offeredForTokens,
      domain: this.host.domain,
      tls: this.tls,
      accounts: this.host.accounts,
      address: this.address,
      ...options,
      ...(throttle === undefined ? {} : { throttle }),
    });
    this.last = this.exchange;
  }

  /**
   * Hands the client's message to the exchange, which is over with success or an error.
   * @throws SaslError
   */
  async step(data: Buffer | undefined): Promise<Awaited<ReturnType<Exchange['step']>>> {
    const { exchange } = this;
    if (exchange === undefined) throw new SaslError('malformed-request', 'No exchange is under way');
    const step = await exchange.step(data);
    if ('success' in step) this.exchange = undefined;
    return step;
  }

  /** Somebody got in. */
  succeeded(user: string, mechanism: string): void {
    this.context.metrics.authOk.inc();
    this.context.log.info({ host: this.host.domain, user, address: this.address, mechanism }, 'login');
  }

  /** What to tell the client of what went wrong. @throws what is no matter of SASL */
  failed(error: unknown): SaslError {
    const failure = explain(error);
    if (failure === undefined) throw error;
    this.exchange = undefined;
    this.failures++;
    this.context.metrics.authFailed.inc();
    const { host, address, last } = this;
    this.context.log.info(
      { host: host.domain, user: last?.name, address, condition: failure.condition },
      'login failed',
    );
    return failure;
  }

  /** To be called when the failure was told. @throws StreamError when there were too many */
  checkFailures(): void {
    if (this.last?.isLast === true || this.failures >= this.context.settings().authAttempts) {
      throw new StreamError('policy-violation', 'too many failed logins');
    }
  }
}

/** Undefined for what is no matter of SASL. */
function explain(error: unknown): SaslError | undefined {
  if (error instanceof SaslError) return error;
  // RFC 6120 6.5.11: the server's trouble says nothing about the password
  if (error instanceof StorageUnavailable) return new SaslError('temporary-auth-failure');
  return undefined;
}
