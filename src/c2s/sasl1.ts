// SASL as RFC 6120 6 frames it: <auth/>, <challenge/>, <response/>, <success/>, <failure/>, <abort/>.
import { decodeInitial, decodeSasl, encodeSasl } from '../auth/base64.ts';
import { channelBindingFeature, createExchange, type Exchange, offeredMechanisms } from '../auth/sasl.ts';
import type { Host } from '../core/host.ts';
import type { TlsInfo } from '../net/tls.ts';
import type { Transport } from '../net/transport.ts';
import { StorageUnavailable } from '../storage/errors.ts';
import { type Element, el } from '../xml/element.ts';
import { SaslError, StreamError } from '../xmpp/errors.ts';
import { NS } from '../xmpp/ns.ts';
import type { C2sContext } from './context.ts';

/** Who got in, and what is still to be said: the answer goes out before the stream restarts. */
export interface SaslOutcome {
  readonly user: string;
  readonly answer: Element;
}

/** All attempts on one stream header; several may fail before the stream is given up (RFC 6120 6.4.5). */
export class SaslNegotiation {
  /** What goes into the stream features. */
  readonly features: readonly Element[];
  private readonly offered: readonly string[];
  private readonly host: Host;
  private readonly tls: TlsInfo | undefined;
  private readonly address: string;
  private readonly context: C2sContext;
  private exchange: Exchange | undefined;
  private failures = 0;

  constructor(host: Host, { tls, address, isConfidential }: Transport, context: C2sContext) {
    this.host = host;
    this.tls = tls;
    this.address = address;
    this.context = context;
    this.offered = offeredMechanisms(tls, {
      tlsRequired: context.settings().requireTls && !isConfidential,
      anonymous: host.settings.authentication === 'anonymous',
    });
    this.features = this.describe();
  }

  /**
   * Takes an element of the SASL namespace; answers through `reply`, or returns the outcome.
   * @throws StreamError when there were too many failures
   */
  async take(element: Element, reply: (answer: Element) => void): Promise<SaslOutcome | undefined> {
    try {
      return await this.step(element, reply);
    } catch (error) {
      const failure = explain(error);
      if (failure === undefined) throw error;
      this.failed(failure, reply);
      return undefined;
    }
  }

  private async step(element: Element, reply: (answer: Element) => void): Promise<SaslOutcome | undefined> {
    const data = this.messageOf(element);
    const step = await this.current().step(data);
    if ('challenge' in step) {
      reply(el('challenge', NS.sasl, undefined, encodeSasl(step.challenge)));
      return undefined;
    }
    const { mechanism } = this.current();
    this.exchange = undefined;
    this.context.metrics.authOk.inc();
    this.context.log.info(
      { host: this.host.domain, user: step.success.local, address: this.address, mechanism },
      'login',
    );
    const text = step.data === undefined ? [] : [encodeSasl(step.data)];
    return { user: step.success.local, answer: el('success', NS.sasl, undefined, ...text) };
  }

  private messageOf(element: Element): Buffer | undefined {
    switch (element.name) {
      case 'auth':
        this.begin(element.attrs.mechanism);
        return decodeInitial(element.getText());
      case 'response':
        return decodeSasl(element.getText());
      case 'abort':
        throw new SaslError('aborted');
      default:
        throw new SaslError('malformed-request');
    }
  }

  private begin(mechanism: string | undefined): void {
    if (mechanism === undefined) throw new SaslError('invalid-mechanism', 'No mechanism was named');
    // RFC 6120 6.5.5: said plainly, so that the client knows what to do
    if (this.offered.length === 0) throw new SaslError('encryption-required');
    this.exchange = createExchange({
      mechanism,
      offered: this.offered,
      domain: this.host.domain,
      tls: this.tls,
      accounts: this.host.accounts,
      address: this.address,
      ...(this.context.throttle === undefined ? {} : { throttle: this.context.throttle }),
    });
  }

  private current(): Exchange {
    if (this.exchange === undefined) throw new SaslError('malformed-request', 'No exchange is under way');
    return this.exchange;
  }

  private failed(failure: SaslError, reply: (answer: Element) => void): void {
    const { exchange } = this;
    this.exchange = undefined;
    this.failures++;
    this.context.metrics.authFailed.inc();
    this.context.log.info(
      { host: this.host.domain, user: exchange?.name, address: this.address, condition: failure.condition },
      'login failed',
    );
    const text = failure.text === undefined ? [] : [el('text', NS.sasl, { 'xml:lang': 'en' }, failure.text)];
    reply(el('failure', NS.sasl, undefined, el(failure.condition, NS.sasl), ...text));
    if (exchange?.isLast === true || this.failures >= this.context.settings().authAttempts) {
      throw new StreamError('policy-violation', 'too many failed logins');
    }
  }

  private describe(): readonly Element[] {
    if (this.offered.length === 0) return [];
    const mechanisms = this.offered.map((name) => el('mechanism', NS.sasl, undefined, name));
    const bindings = channelBindingFeature(this.tls);
    return [el('mechanisms', NS.sasl, undefined, ...mechanisms), ...(bindings === undefined ? [] : [bindings])];
  }
}

/** Undefined for what is no matter of SASL. */
function explain(error: unknown): SaslError | undefined {
  if (error instanceof SaslError) return error;
  // RFC 6120 6.5.11: the server's trouble says nothing about the password
  if (error instanceof StorageUnavailable) return new SaslError('temporary-auth-failure');
  return undefined;
}
