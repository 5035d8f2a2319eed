// What comes in over one stream: whose stanzas are taken.
import type { MaybePromise } from '../base/maybe.ts';
import { isStanzaName } from '../core/router.ts';
import { type Element, el } from '../xml/element.ts';
import { StanzaError, StreamError } from '../xmpp/errors.ts';
import { Jid } from '../xmpp/jid.ts';
import { NS } from '../xmpp/ns.ts';
import { HandledCounter } from '../xmpp/sm-counters.ts';
import type { S2sContext } from './context.ts';
import { Handling } from './handling.ts';

/** How a domain's name was proved. */
export type Proof = 'certificate' | 'dialback';

/** How many pairs of domains are remembered as allowed; a peer may have many names, and so may we. */
const MOST_PAIRS = 1024;

export class Intake {
  /** How many stanzas came. */
  received = 0;
  private readonly context: S2sContext;
  private readonly answer: (element: Element) => void;
  private readonly proofs = new Map<string, Proof>();
  private readonly allowed = new Set<string>();
  private generation: number;
  private readonly pending: Handling;
  private handled: HandledCounter | undefined;

  /** @param answer sends an acknowledgement */
  constructor(context: S2sContext, answer: (element: Element) => void) {
    this.context = context;
    this.answer = answer;
    this.generation = context.generation;
    this.pending = new Handling(context.router, context.log);
  }

  /** The domains that the peer may speak for. */
  get domains(): ReadonlyMap<string, Proof> {
    return this.proofs;
  }

  /** How many stanzas are being handled. */
  get handling(): number {
    return this.pending.waiting;
  }

  /** From now on stanzas from this domain are taken. A certificate is more than dialback. */
  authorise(domain: string, proof: Proof): void {
    if (this.proofs.get(domain) === 'certificate') return;
    this.proofs.set(domain, proof);
    this.allowed.clear();
  }

  /** From now on stanzas are counted (XEP-0198 4). */
  manage(): void {
    this.handled ??= new HandledCounter({ sendAck: () => this.acknowledge() });
  }

  /** Says what was handled; also the last word before a stream ends, so that nothing is sent again without need. */
  acknowledge(): void {
    if (this.handled !== undefined) this.answer(el('a', NS.sm, { h: String(this.handled.h) }));
  }

  /** The peer asks what was handled: it is told when everything that came before is done. */
  ask(): void {
    this.handled?.ask();
  }

  /**
   * Takes a stanza, as many bytes long.
   * @returns a promise to wait for when too much is being handled
   * @throws StreamError when it is none, comes from a domain that was not proved, or is for one that is not served
   */
  take(element: Element, bytes: number): MaybePromise<void> {
    if (element.ns !== null || !isStanzaName(element.name)) throw new StreamError('unsupported-stanza-type');
    const { from: fromText, to: toText } = element.attrs;
    if (fromText === undefined || toText === undefined) {
      throw new StreamError('improper-addressing', 'between servers a stanza has "from" and "to"');
    }
    this.received++;
    this.context.stanza('in');
    const from = Jid.parse(fromText);
    const to = Jid.parse(toText);
    if (from === undefined || to === undefined) {
      // the peer may be less strict than we are; one address of its users must not end the stream of all
      if (from !== undefined) this.refuseAddress(element, from, toText);
      this.handled?.add();
      return;
    }
    this.check(from.domain, to.domain);
    return this.pending.take(element, from, to, bytes, this.handled);
  }

  /**
   * Takes a stanza that came after our end of the stream, which the peer had not seen then (RFC 6120 4.4). Where stanzas are counted
   * the peer sends it again; else it would be lost.
   */
  takeLate(element: Element): void {
    if (this.handled !== undefined || this.pending.isFull) return;
    try {
      void this.take(element, 0);
    } catch {
      // what would have ended the stream can do no more
    }
  }

  /** RFC 6120 8.3.3.8: the domain answers for what is no address of it. A sender without an address cannot be answered. */
  private refuseAddress(element: Element, from: Jid, to: string): void {
    const domain = Jid.parse(to.replace(/\/.*$/s, '').replace(/^.*@/s, ''));
    if (domain === undefined) return;
    this.check(from.domain, domain.domain);
    this.context.refuse(element, from, domain, new StanzaError('jid-malformed', 'the "to" address is not a JID'));
  }

  /** @throws StreamError */
  private check(from: string, to: string): void {
    const { generation } = this.context;
    if (generation !== this.generation) {
      this.generation = generation;
      this.allowed.clear();
    }
    const pair = `${from} ${to}`;
    if (this.allowed.has(pair)) return;
    const proof = this.proofs.get(from);
    // RFC 6120 4.9.3.9
    if (proof === undefined) throw new StreamError('invalid-from', `nothing proves that you speak for ${from}`);
    // it was proved before we were told to serve it, by a component perhaps, which may do more than strangers
    if (this.context.serves(from)) throw new StreamError('invalid-from', `${from} is served here`);
    const settings = this.context.settings(to);
    if (settings === undefined) throw new StreamError('host-unknown', `${to} is not served here`);
    if (!settings.mayTalkTo(from)) throw new StreamError('policy-violation', `${to} does not talk to ${from}`);
    if (settings.requireValidCertificates && proof !== 'certificate') {
      throw new StreamError('policy-violation', `${to} asks for a valid certificate`);
    }
    if (this.allowed.size >= MOST_PAIRS) this.allowed.clear();
    this.allowed.add(pair);
  }
}
