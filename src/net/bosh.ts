// BOSH (XEP-0124 1.11.2, XEP-0206 1.4): sessions made of HTTP requests that wait for their responses. Where requests come in.
//
// Not here, all of it optional: several streams in one session (16), compressed requests and responses, other encodings than
// UTF-8, early warnings by "report" and "time" (8.2), "route", the obsolete "authid", and the script syntax, which is history.
import { randomBytes } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Clock } from '../base/clock.ts';
import { ParseError } from '../xml/parse-error.ts';
import { NS } from '../xmpp/ns.ts';
import {
  type BoshCondition,
  type BoshHead,
  legacyStatus,
  numberOf,
  readHead,
  seeOtherUri,
  terminalBody,
} from './bosh-body.ts';
import { answerOthers, type BoshReply, HttpReply, respond, Upload, XML_TYPE } from './bosh-http.ts';
import { BODY_STANZAS, BoshSession, type BoshTerms, TICK } from './bosh-session.ts';
import { type HttpPeer, tlsOf } from './http.ts';
import type { Flusher, Transport } from './transport.ts';

/** A request for a session that began on another node. */
export interface BoshErrand {
  readonly sid: string;
  readonly body: Buffer;
  readonly isConfidential: boolean;
  readonly reply: BoshReply;
}

/** The other nodes. */
export interface BoshElsewhere {
  /** What the identifiers of sessions end in that begin here. */
  readonly suffix: string;
  /** Whether a session is on another node. */
  has(sid: string): boolean;
  /** Has a request answered there; only where `has` says so. */
  pass(errand: BoshErrand): void;
}

export interface BoshLimits {
  /** How large an element may be before anybody has logged in, in bytes. */
  readonly stanzaBytesBeforeAuth: number;
  /** How large one may be afterwards. */
  readonly stanzaBytes: number;
  /** Bytes that may wait for a client that does not ask for them. */
  readonly queuedBytes: number;
  /** Requests that one network address may be sending at the same time. */
  readonly uploadsPerAddress: number;
}

export interface BoshOptions {
  /** Takes a session that has begun. */
  accept(transport: Transport): void;
  /** The domain that somebody wants to talk to, prepared; undefined for one that is not served. */
  domainOf(to: string): string | undefined;
  /** Whether a session may begin over that connection. */
  mayEnter(peer: HttpPeer): boolean;
  /** Where it may, if it may not here. */
  secureUri(peer: HttpPeer): string | undefined;
  /** What limits count as one address. */
  networkOf(address: string): string;
  limits(): BoshLimits;
  readonly elsewhere?: BoshElsewhere;
  readonly flusher: Flusher;
  readonly clock: Clock;
}

/** What we offer, in seconds. */
const WAIT = { usual: 60, longest: 120 };
const INACTIVITY = { usual: 60, polling: 120 };
const POLLING = 5;
const MAX_PAUSE = 120;
/** How many requests one session may have waiting; each is a connection. */
const MAX_HOLD = 4;
const VERSION = { major: 1, minor: 11 };
/** How long a request may take to come in, in milliseconds. */
const UPLOAD_TIME = 30_000;
/** How many sessions that are over may be asked again how they ended. */
const REMEMBERED = 1_000;
/** A type of media with parameters (RFC 9110 8.3), of sensible length. */
const MEDIA_TYPE = /^[\w!#$&^.+-]{1,60}\/[\w!#$&^.+-]{1,60}( ?; ?[\w-]{1,20}=[\w."-]{1,40}){0,3}$/;
/** What is a little too large for an element gets to the parser, which says so in XML. */
const SLACK = 4 * 1024;
const BYTE_ORDER_MARK = Buffer.from('\ufeff');

/** Sessions by identifier: those of this node. */
export class BoshTable {
  private readonly sessions = new Map<string, BoshSession>();

  get size(): number {
    return this.sessions.size;
  }

  /** Sessions that go on. */
  get open(): number {
    let open = 0;
    for (const session of this.sessions.values()) if (!session.isOver) open++;
    return open;
  }

  get(sid: string): BoshSession | undefined {
    return this.sessions.get(sid);
  }

  add(session: BoshSession): void {
    this.sessions.set(session.terms.sid, session);
  }

  /** Lets sessions do what is due, and forgets those that nobody will ask for again. */
  tick(now: number): void {
    let tooMany = this.size - this.open - REMEMBERED;
    for (const [sid, session] of this.sessions) {
      if (session.tick(now) || (session.isOver && tooMany-- > 0)) this.sessions.delete(sid);
    }
  }
}

/** The BOSH of one server. */
export class Bosh {
  readonly table = new BoshTable();
  private readonly options: BoshOptions;
  private readonly uploads = new Set<Upload>();
  private readonly uploading = new Map<string, number>();
  private cancelTick: (() => void) | undefined;

  constructor(options: BoshOptions) {
    this.options = options;
  }

  /** Takes a request. */
  handle(request: IncomingMessage, response: ServerResponse, peer: HttpPeer): void {
    // whoever is gone before the response does no harm
    response.on('error', () => {});
    if (answerOthers(request, response)) return;
    const network = this.options.networkOf(peer.address);
    const count = this.uploading.get(network) ?? 0;
    if (count >= this.options.limits().uploadsPerAddress) {
      response.setHeader('connection', 'close');
      respond(response, 429, 'text/plain; charset=utf-8', 'Too many requests at the same time.\n');
      return;
    }
    this.uploading.set(network, count + 1);
    const upload = new Upload(
      request,
      this.options.clock.now(),
      (received) => this.allowed(received),
      (received, end) => {
        this.uploads.delete(upload);
        const others = (this.uploading.get(network) ?? 1) - 1;
        if (others === 0) this.uploading.delete(network);
        else this.uploading.set(network, others);
        if (end === 'whole') this.take(received, request, response, peer);
        else if (end === 'too large') this.refuseLarge(received, response);
      },
    );
    this.uploads.add(upload);
    this.schedule();
  }

  /** Stops the clockwork; sessions are ended by whoever took them. */
  close(): void {
    this.cancelTick?.();
  }

  private take(received: Buffer, request: IncomingMessage, response: ServerResponse, peer: HttpPeer): void {
    const body = received.subarray(received.indexOf(BYTE_ORDER_MARK) === 0 ? BYTE_ORDER_MARK.length : 0);
    const head = tryHead(body);
    const reply = new HttpReply(response);
    if (head === undefined) refuse(reply, 'bad-request', false);
    else if (head.sid === undefined) this.create(head, body, request, reply, peer);
    else {
      const { isConfidential } = peer;
      if (this.isElsewhere(head.sid)) this.options.elsewhere?.pass({ sid: head.sid, body, isConfidential, reply });
      else this.takeFor(head, body, isConfidential, reply);
    }
  }

  /** Takes a request of a session of this node that came to another one. */
  takeFrom({ sid, body, isConfidential, reply }: BoshErrand): void {
    const head = tryHead(body);
    const session = this.table.get(sid);
    if (head?.sid !== sid) refuse(reply, 'bad-request', false);
    else if (session !== undefined && body.length > session.bodyBytes + SLACK) session.fail('policy-violation', reply);
    else this.takeFor(head, body, isConfidential, reply);
  }

  private takeFor(head: BoshHead, body: Buffer, isConfidential: boolean, reply: BoshReply): void {
    const session = this.table.get(head.sid ?? '');
    if (session === undefined) refuse(reply, 'item-not-found', false);
    // XEP-0124 19.1: whoever listened on the way must not be able to end the session either
    else if (session.isConfidential && !isConfidential) reply.drop();
    else session.take({ head, body, response: reply });
  }

  private isElsewhere(sid: string): boolean {
    return this.table.get(sid) === undefined && this.options.elsewhere?.has(sid) === true;
  }

  // XEP-0124 6.1
  private create(head: BoshHead, body: Buffer, request: IncomingMessage, reply: BoshReply, peer: HttpPeer): void {
    const { attrs } = head;
    const isLegacy = attrs.ver === undefined;
    if (!this.options.mayEnter(peer)) {
      const uri = this.options.secureUri(peer);
      if (uri === undefined) refuse(reply, 'policy-violation', isLegacy);
      else reply.give(200, XML_TYPE, seeOtherUri(uri));
      return;
    }
    const to = attrs.to ?? '';
    const domain = this.options.domainOf(to);
    if (to === '') refuse(reply, 'improper-addressing', isLegacy);
    else if (domain === undefined) refuse(reply, 'host-unknown', isLegacy);
    else {
      const terms = termsFor(head, domain, this.options.elsewhere?.suffix ?? '');
      if (terms === undefined) {
        refuse(reply, 'bad-request', isLegacy);
        return;
      }
      const { flusher, clock } = this.options;
      const { queuedBytes } = this.options.limits();
      const session = new BoshSession(head.rid, peer, tlsOf(request.socket), terms, { flusher, clock, queuedBytes });
      this.table.add(session);
      this.options.accept(session);
      session.take({ head, body, response: reply });
    }
  }

  /** How large a request may be that begins like that: only those who are known may send much. */
  private allowed(received: Buffer): number {
    const { stanzaBytesBeforeAuth, stanzaBytes } = this.options.limits();
    const small = stanzaBytesBeforeAuth + SLACK;
    if (received.length <= small) return small;
    const sid = tryHead(received)?.sid ?? '';
    // what that session may have is for its node to say
    if (this.isElsewhere(sid)) return BODY_STANZAS * stanzaBytes + SLACK;
    const session = this.table.get(sid);
    return session === undefined || session.isOver ? small : session.bodyBytes + SLACK;
  }

  private refuseLarge(received: Buffer, response: ServerResponse): void {
    // the rest is not waited for
    response.setHeader('connection', 'close');
    const session = this.table.get(tryHead(received)?.sid ?? '');
    const reply = new HttpReply(response);
    if (session === undefined) refuse(reply, 'policy-violation', false);
    else session.fail('policy-violation', reply);
  }

  private schedule(): void {
    this.cancelTick ??= this.options.clock.after(TICK, () => {
      this.cancelTick = undefined;
      const now = this.options.clock.now();
      this.table.tick(now);
      for (const upload of this.uploads) if (now - upload.started > UPLOAD_TIME) upload.abort();
      // where nobody is there is nothing to do
      if (this.table.size + this.uploads.size > 0) this.schedule();
    });
  }
}

/** The head, or undefined where there is none. */
function tryHead(body: Buffer): BoshHead | undefined {
  try {
    return readHead(body);
  } catch (error) {
    if (error instanceof ParseError) return undefined;
    throw error;
  }
}

function refuse(reply: BoshReply, condition: BoshCondition, isLegacy: boolean): void {
  reply.give(isLegacy ? (legacyStatus[condition] ?? 200) : 200, XML_TYPE, terminalBody(condition));
}

/** XEP-0124 6: what a session will be like; undefined when the request is no good. */
function termsFor({ attrs }: BoshHead, domain: string, suffix: string): BoshTerms | undefined {
  const asked = { wait: WAIT.usual, hold: 1 };
  for (const name of ['wait', 'hold'] as const) {
    if (attrs[name] === undefined) continue;
    const number = numberOf(attrs[name]);
    if (number === undefined) return undefined;
    asked[name] = number;
  }
  const contentType = attrs.content ?? XML_TYPE;
  const version = versionFor(attrs.ver);
  if (!MEDIA_TYPE.test(contentType) || version === undefined) return undefined;
  const wait = Math.min(asked.wait, WAIT.longest);
  const hold = Math.min(asked.hold, MAX_HOLD);
  const requests = hold + 1;
  const isPolling = hold === 0 || wait === 0;
  const inactivity = isPolling ? INACTIVITY.polling : INACTIVITY.usual;
  const sid = `${randomBytes(18).toString('base64url')}${suffix}`;
  return {
    sid,
    wait,
    hold,
    requests,
    inactivity,
    polling: POLLING,
    maxpause: MAX_PAUSE,
    contentType,
    isLegacy: attrs.ver === undefined,
    usesAcks: attrs.ack === '1',
    greeting: {
      sid,
      wait,
      requests,
      inactivity,
      polling: POLLING,
      maxpause: MAX_PAUSE,
      hold,
      from: domain,
      ver: version,
      'xmlns:xmpp': NS.xbosh,
      'xmpp:version': '1.0',
      'xmpp:restartlogic': 'true',
    },
  };
}

/** XEP-0124 6.2: ours, or the client's, whichever is lower; undefined when that is no version. */
function versionFor(ver: string | undefined): string | undefined {
  const match = /^(\d{1,4})\.(\d{1,4})$/.exec(ver ?? `${VERSION.major}.${VERSION.minor}`);
  if (match === null) return undefined;
  const major = Number(match[1]);
  const minor = Number(match[2]);
  const isLower = major < VERSION.major || (major === VERSION.major && minor < VERSION.minor);
  return isLower ? `${major}.${minor}` : `${VERSION.major}.${VERSION.minor}`;
}
