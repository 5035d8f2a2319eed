// One external component's stream (XEP-0114 1.6, "accept"): it names its domain, proves that it knows the secret, and then speaks for
// everybody at that domain. There is no version and there are no features; TLS is not needed on loopback.
import { createHash, timingSafeEqual } from 'node:crypto';
import { Budget } from '../base/budget.ts';
import type { MaybePromise } from '../base/maybe.ts';
import { isStanzaName } from '../core/router.ts';
import { XmlStream } from '../net/stream.ts';
import type { SocketTransport } from '../net/transport.ts';
import { type Element, el } from '../xml/element.ts';
import type { StreamHeader } from '../xml/parser.ts';
import { StanzaError, StreamError } from '../xmpp/errors.ts';
import { Jid, prepareDomain } from '../xmpp/jid.ts';
import { NS } from '../xmpp/ns.ts';
import type { Stanza } from '../xmpp/stanza.ts';
import type { ComponentContext } from './components.ts';
import { Handling } from './handling.ts';
import { headOf, queuedOf } from './queued.ts';
import { Unsent } from './unsent.ts';

export interface ComponentEvents {
  /** It has proved itself. */
  ready(stream: ComponentStream): void;
  /** It is over; called once. */
  closed(stream: ComponentStream, reason: string): void;
}

const handshake = el('handshake', null);

export class ComponentStream {
  readonly since: number;
  /** How many stanzas were written to it, and how many came. */
  sent = 0;
  received = 0;
  private readonly context: ComponentContext;
  private readonly transport: SocketTransport;
  private readonly stream: XmlStream;
  private readonly events: ComponentEvents;
  private readonly handling: Handling;
  private readonly unsent: Unsent;
  private readonly cancelTimeout: () => void;
  private name: string | undefined;
  private isReady = false;

  constructor(transport: SocketTransport, context: ComponentContext, events: ComponentEvents) {
    this.transport = transport;
    this.context = context;
    this.events = events;
    this.handling = new Handling(context.router, context.log);
    const { clock, log } = context;
    const limits = context.limits();
    this.since = clock.now();
    this.unsent = new Unsent(transport, clock);
    this.stream = new XmlStream(
      transport,
      {
        header: (header) => this.takeHeader(header),
        element: (element, bytes) => this.takeElement(element, bytes),
        closed: (reason) => {
          this.cancelTimeout();
          events.closed(this, reason);
          this.giveBack();
        },
      },
      context.defaultDomain,
      {
        contentNs: NS.component,
        limits: { stanzaBytes: limits.stanzaBytesBeforeAuth },
        budgets: [],
        gate: context.gate,
        clock,
        log,
      },
    );
    this.cancelTimeout = clock.after(limits.authTimeout, () => this.close(new StreamError('connection-timeout')));
  }

  get address(): string {
    return this.transport.address;
  }

  /** The domain that it is opened for; one of ours, but not proved unless it is authenticated. */
  get domain(): string | undefined {
    return this.name;
  }

  get isAuthenticated(): boolean {
    return this.isReady;
  }

  get isOpen(): boolean {
    return this.stream.isOpen;
  }

  /** The stream error that we ended it with, if we did. */
  get error(): StreamError | undefined {
    return this.stream.error;
  }

  send(stanza: Stanza): void {
    this.sent++;
    this.context.stanza('out');
    const queued = queuedOf(stanza);
    this.stream.send(queued.xml);
    this.unsent.add(queued);
  }

  close(error?: StreamError): void {
    this.stream.close(error);
  }

  abort(why: string): void {
    this.stream.abort(why);
  }

  private takeHeader({ attrs }: StreamHeader): void {
    const domain = prepareDomain(attrs.to ?? '');
    if (domain === undefined || this.context.secret(domain) === undefined) throw new StreamError('host-unknown');
    this.name = domain;
    this.stream.open({ from: domain });
  }

  private takeElement(element: Element, bytes: number): MaybePromise<void> {
    const { name } = this;
    if (!this.isReady || name === undefined) return this.takeHandshake(element);
    if (element.ns !== null || !isStanzaName(element.name)) throw new StreamError('unsupported-stanza-type');
    this.received++;
    this.context.stanza('in');
    const { from: fromText, to: toText } = element.attrs;
    if (fromText === undefined || toText === undefined) {
      throw new StreamError('improper-addressing', 'a stanza of a component has "from" and "to"');
    }
    const from = Jid.parse(fromText);
    if (from?.domain !== name) {
      // a gateway meets the strangest nicknames: one that is no address must not end the stream of all the others
      if (from === undefined && domainPart(fromText) === name) {
        this.context.log.info({ component: name }, 'a stanza was dropped: its "from" is not a JID');
        return;
      }
      throw new StreamError('invalid-from', `you speak for ${name} alone`);
    }
    const to = Jid.parse(toText);
    if (to !== undefined) return this.handling.take(element, from, to, bytes);
    const problem = new StanzaError('jid-malformed', 'the "to" address is not a JID');
    // RFC 6120 8.3.3.8; nobody else could answer
    return this.context.router.refuse(element, Jid.of('', name), from, problem);
  }

  /** What it never read: whoever sent it is told. */
  private giveBack(): void {
    const { router } = this.context;
    const problem = new StanzaError('remote-server-timeout', 'the component does not read what it is sent');
    for (const queued of this.unsent.take()) void router.refuse(headOf(queued), queued.to, queued.from, problem);
  }

  private takeHandshake(element: Element): void {
    const secret = this.name === undefined ? undefined : this.context.secret(this.name);
    if (!element.is('handshake', null) || secret === undefined || !proves(element.getText(), this.stream.id, secret)) {
      this.context.log.warn({ component: this.name, address: this.address }, 'a component did not prove itself');
      throw new StreamError('not-authorized');
    }
    this.isReady = true;
    this.cancelTimeout();
    const { stanzaBytes, allowance } = this.context.limits();
    this.stream.setLimits({ stanzaBytes });
    if (allowance !== undefined) this.stream.setBudgets([new Budget(allowance, this.context.clock.now())]);
    this.stream.send(handshake);
    this.events.ready(this);
  }
}

/** XEP-0114 3: the SHA-1 of the stream's id and the secret, in hexadecimal. Takes as long for a wrong one as for the right one. */
function proves(text: string, id: string, secret: string): boolean {
  const expected = createHash('sha1').update(`${id}${secret}`).digest();
  const given = /^[0-9a-f]{40}$/i.test(text.trim()) ? Buffer.from(text.trim(), 'hex') : undefined;
  return given !== undefined && timingSafeEqual(given, expected);
}

function domainPart(jid: string): string | undefined {
  return prepareDomain(jid.replace(/\/.*$/s, '').replace(/^.*@/s, ''));
}
