// Proving to another server who we are: SASL EXTERNAL with our certificate (XEP-0178 4) where it is offered, dialback (XEP-0220 2.1.1)
// where it is not, or where the certificate is not accepted.
import { type Element, el } from '../xml/element.ts';
import { type Condition, StreamError } from '../xmpp/errors.ts';
import { NS } from '../xmpp/ns.ts';
import { type DialbackOutcome, type DomainPair, dialbackKey, writeResultRequest } from './dialback.ts';
import type { InitiatedStream, Offer } from './initiated.ts';
import type { Trace } from './trace.ts';

export interface ProvingEvents {
  /** The peer has called back, and accepts us. (After SASL it begins anew with features.) */
  accepted(): void;
  refused(condition: Condition, text: string): void;
}

export class Proving {
  /** How we prove who we are, on this connection. */
  method: 'external' | 'dialback' | undefined;
  /** SASL is done: features come once more. */
  hasSucceeded = false;
  private readonly pair: DomainPair;
  private readonly secret: string;
  private readonly trace: Trace;
  private readonly events: ProvingEvents;
  private current: InitiatedStream | undefined;
  private hasDialback = false;
  private hasTriedExternal = false;
  /** The peer does not take our certificate: it is not shown it again. */
  private isExternalRefused = false;
  private hasAskedForResult = false;

  /** @param secret of dialback */
  constructor(pair: DomainPair, secret: string, trace: Trace, events: ProvingEvents) {
    this.pair = pair;
    this.secret = secret;
    this.trace = trace;
    this.events = events;
  }

  /** Begins, with what the peer offers on a connection that is new. */
  begin(current: InitiatedStream, { features, hasDialback }: Offer): void {
    this.current = current;
    this.hasDialback = hasDialback;
    this.method = undefined;
    this.hasSucceeded = false;
    this.hasTriedExternal = false;
    this.hasAskedForResult = false;
    const mechanisms = features.getChild('mechanisms', NS.sasl)?.getChildren('mechanism') ?? [];
    const hasExternal = mechanisms.some((mechanism) => mechanism.getText().trim() === 'EXTERNAL');
    if (hasExternal && !this.isExternalRefused) {
      this.method = 'external';
      this.hasTriedExternal = true;
      const identity = Buffer.from(this.pair.from).toString('base64');
      current.stream.send(el('auth', NS.sasl, { mechanism: 'EXTERNAL' }, identity));
    } else if (hasDialback) this.callBack();
    else {
      const why = hasExternal ? 'it does not accept our certificate' : 'it offers no way to prove who we are';
      this.events.refused('remote-server-not-found', `${this.pair.to}: ${why}`);
    }
  }

  /**
   * The connection has ended before anything was proved. Some end it when they do not take our certificate: they are asked once more,
   * by dialback.
   * @returns whether to connect to the same machine again
   */
  disconnected(): boolean {
    const isWorthwhile = this.hasTriedExternal && !this.isExternalRefused;
    this.isExternalRefused ||= this.hasTriedExternal;
    this.current = undefined;
    return isWorthwhile;
  }

  /** @throws StreamError where it was not asked for */
  takeSasl(element: Element): void {
    const { current } = this;
    if (this.method !== 'external' || this.hasSucceeded || current === undefined) {
      throw new StreamError('not-authorized');
    }
    if (element.name === 'success') {
      this.trace.add('authentication', 'the server accepted our certificate (SASL EXTERNAL)');
      this.hasSucceeded = true;
      current.restart();
      return;
    }
    const condition = element.elements()[0]?.name ?? element.name;
    this.trace.add('authentication', `the server did not accept our certificate (SASL EXTERNAL: ${condition})`, false);
    if (this.hasDialback) this.callBack();
    else this.events.refused('remote-server-not-found', `${this.pair.to} does not accept our certificate`);
  }

  /** One that was not asked for is not listened to (XEP-0220 4.1). */
  takeResult({ from, to }: DomainPair, outcome: DialbackOutcome): void {
    const { pair } = this;
    if (from !== pair.to || to !== pair.from || !this.hasAskedForResult) return;
    this.hasAskedForResult = false;
    if (outcome === 'valid') {
      this.trace.add('authentication', 'the server called back, and accepted us (dialback)');
      this.events.accepted();
    } else if (outcome === 'invalid') {
      // XEP-0220 2.1.1
      this.trace.add('authentication', 'the server says that our key is wrong (dialback)', false);
      this.events.refused('internal-server-error', `${pair.to} says that our key for dialback is wrong`);
    } else {
      this.trace.add('authentication', `the server could not call back (dialback: ${outcome.condition})`, false);
      this.events.refused('remote-server-timeout', `${pair.to} could not verify who we are: ${outcome.message}`);
    }
  }

  private callBack(): void {
    const { pair, current } = this;
    if (current === undefined) return;
    this.method = 'dialback';
    this.hasAskedForResult = true;
    const key = dialbackKey(this.secret, pair.to, pair.from, current.stream.id);
    current.stream.send(writeResultRequest(pair, key));
  }
}
