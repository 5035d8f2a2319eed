// SASL as RFC 6120 6 frames it: <auth/>, <challenge/>, <response/>, <success/>, <failure/>, <abort/>.
import { decodeInitial, decodeSasl, encodeSasl } from '../auth/base64.ts';
import { type Element, el } from '../xml/element.ts';
import { SaslError } from '../xmpp/errors.ts';
import { NS } from '../xmpp/ns.ts';
import type { LoginAttempts } from './attempts.ts';

/** Who got in, and what is still to be said: the answer goes out before the stream restarts. */
export interface SaslOutcome {
  readonly user: string;
  /** The account's, when the proof was verified. */
  readonly epoch: number;
  readonly answer: Element;
}

export class SaslNegotiation {
  private readonly attempts: LoginAttempts;
  private mechanism = '';

  constructor(attempts: LoginAttempts) {
    this.attempts = attempts;
  }

  /** The stream feature; undefined where there is nothing to offer. */
  get feature(): Element | undefined {
    const { offered } = this.attempts;
    if (offered.length === 0) return undefined;
    return el('mechanisms', NS.sasl, undefined, ...offered.map((name) => el('mechanism', NS.sasl, undefined, name)));
  }

  /**
   * Takes an element of the SASL namespace; answers through `reply`, or returns the outcome.
   * @throws StreamError when there were too many failures
   */
  async take(element: Element, reply: (answer: Element) => void): Promise<SaslOutcome | undefined> {
    this.attempts.use('SASL');
    try {
      return await this.step(element, reply);
    } catch (error) {
      const { condition, text } = this.attempts.failed(error);
      const words = text === undefined ? [] : [el('text', NS.sasl, { 'xml:lang': 'en' }, text)];
      reply(el('failure', NS.sasl, undefined, el(condition, NS.sasl), ...words));
      this.attempts.checkFailures();
      return undefined;
    }
  }

  private async step(element: Element, reply: (answer: Element) => void): Promise<SaslOutcome | undefined> {
    const step = await this.attempts.step(this.messageOf(element));
    if ('challenge' in step) {
      reply(el('challenge', NS.sasl, undefined, encodeSasl(step.challenge)));
      return undefined;
    }
    const { local: user, epoch } = step.success;
    this.attempts.succeeded(user, this.mechanism);
    const text = step.data === undefined ? [] : [encodeSasl(step.data)];
    return { user, epoch, answer: el('success', NS.sasl, undefined, ...text) };
  }

  private messageOf(element: Element): Buffer | undefined {
    switch (element.name) {
      case 'auth':
        this.mechanism = element.attrs.mechanism ?? '';
        this.attempts.begin(element.attrs.mechanism);
        return decodeInitial(element.getText());
      case 'response':
        return decodeSasl(element.getText());
      case 'abort':
        throw new SaslError('aborted');
      default:
        throw new SaslError('malformed-request');
    }
  }
}
