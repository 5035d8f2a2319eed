// The receiving and the authoritative server of dialback (XEP-0220 2.2): who wants to speak for a domain is called back, unless a
// certificate says it already (XEP-0344 2.4); who asks about a key is told whether it is ours.
import type { XmlStream } from '../net/stream.ts';
import { StanzaError } from '../xmpp/errors.ts';
import { judgeCertificate } from './certificates.ts';
import type { S2sContext } from './context.ts';
import {
  type DialbackMessage,
  type DialbackOutcome,
  type DomainPair,
  isDialbackKey,
  writeResult,
  writeVerify,
} from './dialback.ts';
import type { Intake, Proof } from './intake.ts';

export type DialbackRequest = Extract<DialbackMessage, { readonly key: string }>;

/** Domains that one stream may be proving at a time, and may have proved in all. */
const MOST_PENDING = 32;
const MOST_DOMAINS = 256;

export class DialbackReceiver {
  private readonly stream: XmlStream;
  private readonly intake: Intake;
  private readonly context: S2sContext;
  private readonly accepted: (pair: DomainPair, proof: Proof) => void;
  private readonly pending = new Set<string>();

  /** @param accepted is told of every pair that was proved, before the peer is */
  constructor(
    stream: XmlStream,
    intake: Intake,
    context: S2sContext,
    accepted: (pair: DomainPair, proof: Proof) => void,
  ) {
    this.stream = stream;
    this.intake = intake;
    this.context = context;
    this.accepted = accepted;
  }

  /** Answers a request; other things on the stream do not wait for it (XEP-0220 2.2.1). */
  take(request: DialbackRequest): void {
    if (request.name === 'verify') this.answerVerify(request, request.id, request.key);
    else this.receive(request, request.key);
  }

  private answerVerify(pair: DomainPair, id: string, key: string): void {
    const { from, to } = pair;
    let outcome: DialbackOutcome;
    // without TLS anybody on the way could turn the answer round
    if (this.stream.transport.tls === undefined) outcome = new StanzaError('policy-violation', 'TLS comes first');
    else if (this.context.settings(to) === undefined) outcome = new StanzaError('item-not-found');
    else outcome = isDialbackKey(key, this.context.secret, from, to, id) ? 'valid' : 'invalid';
    this.stream.send(writeVerify(pair, id, outcome));
  }

  private receive(pair: DomainPair, key: string): void {
    const decided = this.decide(pair);
    if (decided === 'certificate') {
      this.context.log.debug({ domain: pair.from }, 'the certificate is valid: nobody has to be called back');
      this.accept(pair, 'certificate');
      return;
    }
    if (decided !== 'ask') {
      this.context.failure('in', 'policy');
      this.stream.send(writeResult(pair, decided));
      return;
    }
    const name = `${pair.from} ${pair.to}`;
    // the answer to the first one is the answer to all
    if (this.pending.has(name)) return;
    this.pending.add(name);
    const { id } = this.stream;
    void this.context.verify({ from: pair.to, to: pair.from }, id, key).then((outcome) => {
      this.pending.delete(name);
      // XEP-0220 2.1.2: another stream has come meanwhile, which the key is not for
      if (this.stream.isOpen && this.stream.id === id) this.verified(pair, outcome);
    });
  }

  private decide(pair: DomainPair): 'certificate' | 'ask' | StanzaError {
    const { context, stream, intake } = this;
    const settings = context.settings(pair.to);
    if (settings === undefined) return new StanzaError('item-not-found');
    if (!settings.mayTalkTo(pair.from))
      return new StanzaError('policy-violation', `${pair.to} does not talk to ${pair.from}`);
    const { tls } = stream.transport;
    if (tls === undefined) return new StanzaError('policy-violation', 'TLS comes first');
    if (context.serves(pair.from)) return new StanzaError('not-acceptable', `${pair.from} is served here`);
    if (!intake.domains.has(pair.from) && intake.domains.size >= MOST_DOMAINS)
      return new StanzaError('resource-constraint');
    const verdict = judgeCertificate(tls.peerCertificates, pair.from, context.trust, context.clock.now());
    if (verdict.isValid) return 'certificate';
    if (settings.requireValidCertificates) {
      return new StanzaError('not-authorized', `a valid certificate is needed, but ${verdict.why}`);
    }
    return this.pending.size < MOST_PENDING ? 'ask' : new StanzaError('resource-constraint');
  }

  private verified(pair: DomainPair, outcome: DialbackOutcome): void {
    if (outcome === 'valid') {
      this.accept(pair, 'dialback');
      return;
    }
    this.context.failure('in', 'authentication');
    const why = typeof outcome === 'string' ? outcome : outcome.message;
    this.context.log.info({ domain: pair.from, for: pair.to, why }, 'a server could not prove its name by dialback');
    if (outcome === 'invalid') {
      // XEP-0220 2.2.1: nobody else's name was proved on this stream, so it ends
      const isLast = this.intake.domains.size === 0 && this.pending.size === 0;
      this.stream.send(writeResult(pair, isLast ? 'invalid' : new StanzaError('forbidden')));
      if (isLast) this.stream.close();
      return;
    }
    // XEP-0220 2.5
    const { condition } = outcome;
    const isToWait = condition === 'remote-server-timeout' || condition === 'resource-constraint';
    this.stream.send(writeResult(pair, new StanzaError(isToWait ? condition : 'remote-server-not-found')));
  }

  private accept(pair: DomainPair, proof: Proof): void {
    this.accepted(pair, proof);
    this.stream.send(writeResult(pair, 'valid'));
  }
}
