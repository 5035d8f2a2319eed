// XmlStream: one XML stream over a transport (RFC 6120 4, RFC 7395 3, XEP-0206): header, restarts, closing handshake, errors, limits, order.
//
// The lane: elements are handled one after another. A handler that returns a promise holds the lane: parsing stops right
// behind its element until the promise is settled, and the socket is paused when more than a little waits.
import { randomBytes } from 'node:crypto';
import type { Budget } from '../base/budget.ts';
import type { Clock } from '../base/clock.ts';
import type { Gate } from '../base/gate.ts';
import type { Logger } from '../base/log.ts';
import { isPromise, type MaybePromise } from '../base/maybe.ts';
import type { Element } from '../xml/element.ts';
import { defaultLimits, type ParseCondition, Parser, type ParserLimits, type StreamHeader } from '../xml/parser.ts';
import { StreamError } from '../xmpp/errors.ts';
import { NS } from '../xmpp/ns.ts';
import { bodyFraming, type ContentNs, documentFraming, type Framing, frameFraming } from './framing.ts';
import type { Transport, TransportShape } from './transport.ts';

export interface StreamHandlers {
  /** The peer opened a stream, or restarted it. Answer with {@link XmlStream.open} unless we began, or throw a StreamError. */
  header(header: StreamHeader): MaybePromise<void>;
  /** A child of the stream's root arrived, so many bytes long. Throws a StreamError to end the stream. */
  element(element: Element, bytes: number): MaybePromise<void>;
  /** We are about to end the stream, of ourselves or because the peer did: the last words may be sent now. */
  closing?(): void;
  /** An element came behind our end of the stream, from a peer that has not ended it yet. Nothing can be answered. */
  trailing?(element: Element): void;
  /** The stream is over, for whatever reason; called once. */
  closed(reason: string): void;
}

export interface StreamOptions {
  readonly contentNs: ContentNs;
  /** We connected: our header comes first, and the peer's says which stream it is. */
  readonly isInitiator?: boolean;
  readonly limits: Partial<ParserLimits>;
  /** What the peer may send, alone and with others. Exceeding one delays the peer, and never loses anything. */
  readonly budgets: readonly Budget[];
  /** Nothing that the peer sends is handled while it is closed. Undefined: it is always open. */
  readonly gate?: Gate | undefined;
  readonly clock: Clock;
  readonly log: Logger;
}

/** What our header says. */
export interface OpenOptions {
  readonly from: string;
  readonly to?: string | undefined;
  readonly lang?: string;
}

// What may wait behind a held lane before the socket is paused: a short wait costs no system call.
const LANE_BYTES = 16 * 1024;
// What is owed for going too fast is paid when it is worth a timer, in milliseconds; until then it adds up.
const LEAST_WAIT = 20;
const LESS = 0x3c;
/** How long a peer has to answer our closing tag, in milliseconds (RFC 6120 4.4). */
const CLOSE_GRACE = 5_000;

/** Attributes of wrappers. */
const RESTART = `{${NS.xbosh}}restart`;
const VERSION = `{${NS.xbosh}}version`;
const isTrue = (value: string | undefined): boolean => value === 'true' || value === '1';

const noNamespaces: ReadonlyMap<string, string> = new Map();

type State = 'open' | 'closing' | 'closed';

export class XmlStream {
  /** Of the stream, not of the connection: every restart gets a new one (RFC 6120 4.7.3), from whoever was connected to. */
  id = '';
  /** The condition of the stream error with which the peer ended it, if it did. */
  peerError: string | undefined;
  readonly transport: Transport;
  /** When the peer last sent anything, in milliseconds since 1970. */
  lastRead: number;
  private readonly options: StreamOptions;
  private readonly handlers: StreamHandlers;
  private readonly framing: Framing;
  private readonly parser: Parser;
  private readonly shape: TransportShape;
  /** With frames: the next one is to be <open/>. With bodies: one is to begin the stream, or to begin it anew. */
  private awaitsOpen: boolean;
  /** With bodies: the header that the first one stood for; what it said holds until another one says something else. */
  private opening: Readonly<Record<string, string>> | undefined;
  private isSkipping = false;
  private isLastBody = false;
  private stanzaBytes: number;
  private state: State = 'open';
  private hasHeader = false;
  private refusal: StreamError | undefined;
  private closedByPeer = false;
  private fallbackFrom: string;
  private holds = 0;
  /** There is no connection any more; what it brought is still being handled. */
  private isCutOff = false;
  private isPaused = false;
  private isAtGate = false;
  private budgets: readonly Budget[];
  private owed = 0;
  private reason = '';
  private cancelGrace: (() => void) | undefined;

  /** @param fallbackFrom the domain to put into a header that only carries an error */
  constructor(transport: Transport, handlers: StreamHandlers, fallbackFrom: string, options: StreamOptions) {
    this.transport = transport;
    this.handlers = handlers;
    this.fallbackFrom = fallbackFrom;
    this.options = options;
    this.lastRead = options.clock.now();
    this.budgets = options.budgets;
    const { shape } = transport;
    this.shape = shape;
    this.awaitsOpen = shape !== 'stream';
    this.framing =
      shape === 'stream' ? documentFraming(options.contentNs) : shape === 'frames' ? frameFraming : bodyFraming;
    this.stanzaBytes = options.limits.stanzaBytes ?? defaultLimits.stanzaBytes;
    transport.allow?.(this.stanzaBytes);
    this.parser = new Parser(
      {
        onHeader: (header) => this.inLane(() => this.takeHeader(header)),
        onElement: (element, bytes) => this.takeElement(element, bytes),
        onEnd: () => this.takeEnd(),
        onError: (condition, text) => this.parseFailed(condition, text),
      },
      options.limits,
      // RFC 6120 4.8.2: a root that declares no default namespace leaves it to its children
      { framed: shape === 'frames', wrapped: shape === 'bodies', contentNs: options.contentNs },
    );
    transport.attach({
      data: (chunk) => this.feed(chunk),
      frame: (frame) => this.takeFrame(frame),
      body: (body) => this.takeBody(body),
      traffic: (bytes, unfinished) => this.traffic(bytes, unfinished),
      closed: (error) => this.disconnected(error),
      overflow: () => this.overflow(),
    });
  }

  get isOpen(): boolean {
    return this.state === 'open';
  }

  /** The stream error that we ended it with, if we did. */
  get error(): StreamError | undefined {
    return this.refusal;
  }

  /** Whether the peer ended it, by its closing tag or an error; else it only broke off, if we did not end it. */
  get isClosedByPeer(): boolean {
    return this.closedByPeer;
  }

  /** Sends our stream header (RFC 6120 4.7); once per header of the peer's, or to begin. */
  open({ from, to, lang }: OpenOptions): void {
    this.fallbackFrom = from;
    this.hasHeader = true;
    this.id = this.options.isInitiator === true ? '' : randomBytes(12).toString('base64url');
    const id = this.id === '' ? undefined : this.id;
    // XEP-0114 3: older than versions and features, so neither is promised
    const version = this.options.contentNs === NS.component ? undefined : '1.0';
    this.transport.write(this.framing.header({ id, from, to, version, 'xml:lang': lang ?? 'en' }));
  }

  /** Writes one serialised element, or an element. Dropped silently once the stream is closing. */
  send(xml: string | Element): void {
    if (this.state !== 'open') return;
    this.transport.write(this.framing.element(typeof xml === 'string' ? xml : xml.toXml()));
  }

  /** The next thing from the peer is a new stream header (RFC 6120 4.3.3). Call it while handling an element. */
  restart(): void {
    this.hasHeader = false;
    if (this.shape !== 'stream') this.awaitsOpen = true;
    else this.parser.restart();
  }

  /** As {@link restart}, for TLS; not when the peer sent something ahead in the clear: that is dropped. Returns how much it was. */
  restartDiscarding(): number {
    const dropped = this.parser.discard();
    if (dropped > 0) return dropped;
    this.restart();
    return 0;
  }

  setLimits(limits: Partial<ParserLimits>): void {
    this.stanzaBytes = limits.stanzaBytes ?? this.stanzaBytes;
    this.transport.allow?.(this.stanzaBytes);
    this.parser.setLimits(limits);
  }

  setBudgets(budgets: readonly Budget[]): void {
    this.budgets = budgets;
  }

  /** Reads nothing for so many milliseconds: the peer came too soon. */
  delay(ms: number): void {
    this.wait(ms);
  }

  /** Ends the stream from our side (RFC 6120 4.4, 4.9); waits a little for the peer's closing tag. */
  close(error?: StreamError): void {
    if (this.state !== 'open') return;
    if (this.hasHeader) this.handlers.closing?.();
    this.reason = error?.message ?? (this.reason || 'closed by the server');
    if (error !== undefined) {
      this.refusal = error;
      // RFC 6120 4.9.1.2: an error before our header needs the header first
      if (!this.hasHeader) this.open({ from: this.fallbackFrom });
      this.transport.write(this.framing.element(serialiseStreamElement(error.toElement())));
    }
    if (this.hasHeader) this.transport.write(this.framing.end);
    this.state = 'closing';
    if (this.isCutOff) {
      this.over();
      return;
    }
    // RFC 6120 4.9.1.1: after an error nothing is waited for; else the peer's closing tag is, for a while (4.4), where it has one
    if (error !== undefined || this.shape === 'bodies') this.transport.end();
    this.release();
    this.cancelGrace = this.options.clock.after(CLOSE_GRACE, () => this.transport.destroy());
  }

  /** Ends the connection behind all that was written, without ending the stream: the server goes, and the peer is to come back. */
  hangUp(reason: string): void {
    if (this.state !== 'open') return;
    this.reason ||= reason;
    this.state = 'closing';
    if (this.isCutOff) {
      this.over();
      return;
    }
    this.transport.end(true);
    this.release();
    this.cancelGrace = this.options.clock.after(CLOSE_GRACE, () => this.transport.destroy());
  }

  /** Drops the connection without a word, for a peer that does not listen. */
  abort(reason: string): void {
    this.reason ||= reason;
    if (this.isCutOff) this.over();
    else this.transport.destroy();
  }

  private feed(chunk: Buffer): void {
    this.account(chunk.length);
    this.stopAtGate();
    this.parser.write(chunk);
    this.settle();
  }

  private takeBody(body: Buffer): void {
    this.stopAtGate();
    this.parser.write(body);
  }

  /** RFC 7395 3.3.3: a frame begins with its element; there is no white space to keep a connection alive (3.8). */
  private takeFrame(frame: Buffer): void {
    this.stopAtGate();
    if (frame[0] === LESS) this.parser.write(frame);
    else this.parseFailed('not-well-formed', 'a frame has to begin with "<"');
  }

  private traffic(bytes: number, unfinished: number): void {
    this.account(bytes);
    // what cannot become an element that is taken is not waited for
    if (unfinished > this.stanzaBytes) this.parseFailed('policy-violation', 'the element is too large');
    this.settle();
  }

  private account(bytes: number): void {
    const now = this.options.clock.now();
    this.lastRead = now;
    this.owed = 0;
    for (const budget of this.budgets) this.owe(budget.takeBytes(bytes, now));
  }

  private settle(): void {
    this.payUp();
    if (this.holds > 0 && this.parser.keptBytes > LANE_BYTES) this.pause();
  }

  private takeHeader(header: StreamHeader): MaybePromise<void> {
    if (this.shape === 'bodies') return this.takeWrapper(header.attrs);
    if (header.name !== 'stream' || header.ns !== NS.stream) {
      throw new StreamError('invalid-namespace', 'the root must be "stream" in the streams namespace');
    }
    if (header.contentNs !== this.options.contentNs) {
      throw new StreamError('invalid-namespace', `the content namespace must be ${this.options.contentNs}`);
    }
    if (this.options.isInitiator === true) this.id = header.attrs.id ?? '';
    return this.handlers.header(header);
  }

  // XEP-0206 3, 5
  private takeWrapper(attrs: Readonly<Record<string, string>>): MaybePromise<void> {
    this.isLastBody = attrs.type === 'terminate';
    const restarts = isTrue(attrs[RESTART]);
    // what comes along with a restart is to be ignored
    this.isSkipping = restarts;
    if (!restarts && this.opening !== undefined) return;
    if (!this.awaitsOpen) throw new StreamError('bad-format', 'a restart has no place here');
    this.awaitsOpen = false;
    const header: Record<string, string> = { version: attrs[VERSION] ?? '1.0', ...this.opening };
    for (const name of ['to', 'from', 'xml:lang']) if (attrs[name] !== undefined) header[name] = attrs[name];
    this.opening = header;
    const contentNs = NS.client;
    const wrapper = { prefix: '', name: 'body', ns: NS.httpBind, contentNs, attrs: header, namespaces: noNamespaces };
    return this.handlers.header(wrapper);
  }

  private takeEnd(): void {
    if (this.shape !== 'bodies' || this.isLastBody) this.peerClosed();
    this.transport.handled?.();
  }

  // RFC 7395 3.4, 3.6
  private takeFramingElement(element: Element): void {
    if (element.ns !== NS.framing) this.fail(new StreamError('invalid-namespace', 'a stream begins with <open/>'));
    else if (element.name === 'close') this.peerClosed();
    else if (element.name === 'open' && this.awaitsOpen) {
      this.awaitsOpen = false;
      const { name, attrs } = element;
      const header = { prefix: '', name, ns: NS.framing, contentNs: NS.client, attrs, namespaces: noNamespaces };
      this.inLane(() => this.handlers.header(header));
    } else this.fail(new StreamError('bad-format', `<${element.name}/> has no place here`));
  }

  private takeElement(element: Element, bytes: number): void {
    if (this.shape === 'frames' && (element.ns === NS.framing || this.awaitsOpen)) {
      this.takeFramingElement(element);
      return;
    }
    if (this.isSkipping) return;
    if (this.shape === 'bodies' && this.awaitsOpen) {
      this.fail(new StreamError('bad-format', 'the stream has to be restarted first'));
      return;
    }
    // what comes after our goodbye is read to find the peer's
    if (this.state !== 'open') {
      this.handlers.trailing?.(element);
      return;
    }
    if (this.budgets.length > 0) {
      const now = this.options.clock.now();
      for (const budget of this.budgets) this.owe(budget.takeElement(now));
    }
    // RFC 6120 4.9.1: a peer's stream error ends the stream; nothing may answer it
    if (element.is('error', NS.stream)) this.peerFailed(element);
    else this.inLane(() => this.handlers.element(element, bytes));
    // not only at the end of what was read: that may be thousands of elements, all in one turn of the event loop
    this.payUp();
  }

  private inLane(step: () => MaybePromise<void>): void {
    if (this.state !== 'open') return;
    try {
      const result = step();
      if (!isPromise(result)) return;
      this.hold();
      result.then(
        () => this.letGo(),
        (error: unknown) => {
          this.fail(error);
          this.letGo();
        },
      );
    } catch (error) {
      this.fail(error);
    }
  }

  private owe(ms: number): void {
    if (ms > this.owed) this.owed = ms;
  }

  private payUp(): void {
    if (this.owed >= LEAST_WAIT) this.wait(this.owed);
  }

  private hold(): void {
    this.holds++;
    this.parser.suspend();
  }

  private letGo(): void {
    this.holds--;
    if (this.holds > 0 || this.state === 'closed') return;
    this.stopAtGate();
    if (this.holds > 0) return;
    this.parser.resume();
    if (this.holds > 0) return;
    this.release();
    if (this.isCutOff) this.over();
  }

  private wait(ms: number): void {
    this.owed = 0;
    this.hold();
    this.pause();
    this.options.clock.after(ms, () => this.letGo());
  }

  /** What came waits behind a closed gate: not parsed, and no more is read. */
  private stopAtGate(): void {
    const { gate } = this.options;
    if (gate === undefined || gate.isOpen || this.isAtGate || this.state !== 'open') return;
    this.isAtGate = true;
    this.hold();
    this.pause();
    void gate.opened().then(() => {
      this.isAtGate = false;
      this.letGo();
    });
  }

  private pause(): void {
    if (this.isPaused) return;
    this.isPaused = true;
    this.transport.pause();
  }

  private release(): void {
    if (!this.isPaused) return;
    this.isPaused = false;
    this.transport.resume();
  }

  private fail(error: unknown): void {
    if (!(error instanceof StreamError)) this.options.log.error({ err: error, stream: this.id }, 'a stream failed');
    this.close(error instanceof StreamError ? error : new StreamError('internal-server-error'));
  }

  private parseFailed(condition: ParseCondition, text: string): void {
    this.close(new StreamError(condition, text));
  }

  private peerFailed(element: Element): void {
    const condition = element.elements().find((child) => child.ns === NS.streams)?.name ?? element.name;
    this.peerError = condition;
    const text = element.getChildText('text', NS.streams);
    this.reason = `the peer ended the stream: ${condition}${text === undefined ? '' : ` (${text.slice(0, 200)})`}`;
    this.closedByPeer = true;
    this.close();
  }

  private peerClosed(): void {
    this.reason ||= 'the peer closed the stream';
    this.closedByPeer = true;
    if (this.state === 'open') this.close();
    this.transport.end();
  }

  private overflow(): void {
    if (this.state === 'closed') return;
    this.options.log.info({ stream: this.id, address: this.transport.address }, 'a reader was too slow');
    this.abort('the peer does not read what it is sent');
  }

  // Whoever says something and goes at once has said it: the stream ends behind the last element that came.
  private disconnected(error: Error | undefined): void {
    this.reason ||= error === undefined ? 'connection closed' : error.message;
    this.isCutOff = true;
    if (this.holds === 0 || this.state !== 'open') this.over();
  }

  private over(): void {
    if (this.state === 'closed') return;
    this.state = 'closed';
    this.cancelGrace?.();
    this.handlers.closed(this.reason);
  }
}

/** Elements of the streams namespace are written with the prefix that our header declares. */
export function serialiseStreamElement(element: Element): string {
  const inner = element.children
    .map((child) => (typeof child === 'object' && 'toXml' in child ? child.toXml() : ''))
    .join('');
  return `<stream:${element.name}>${inner}</stream:${element.name}>`;
}
