// A client as light as it gets: a raw socket, the RFC 6120 negotiation by pattern, and then bytes handed to the profile untouched.

import { createHash } from 'node:crypto';
import { connect, type Socket } from 'node:net';
import { createSecureContext, type SecureContext, connect as tlsConnect } from 'node:tls';
import { plainResponse, scramSha1, tokenProof } from './sasl.ts';
import { StanzaCutter } from './stanzas.ts';
import { FrameReader, framesOf, upgradeRequest } from './websocket.ts';

export interface Target {
  readonly host: string;
  readonly port: number;
  readonly domain: string;
  readonly tls: 'none' | 'starttls' | 'direct';
  /** A plain connection, or a WebSocket on it (with TLS beneath when it is direct). */
  readonly transport: 'tcp' | 'ws';
  /** PLAIN or SCRAM-SHA-1; PLAIN or a token by SASL2, with the resource bound at once (XEP-0388, XEP-0386, XEP-0484). */
  readonly sasl: 'plain' | 'scram' | 'sasl2' | 'fast';
  readonly userPrefix: string;
  readonly password: string;
  /** How many local addresses 127.0.0.1, 127.0.0.2, ... connections are spread over, for more connections than one has ports. */
  readonly sources: number;
}

/** How long the parts of a login took, in microseconds. */
export interface LoginTimes {
  connect: number;
  authenticate: number;
  bind: number;
  total: number;
}

export interface LoginOptions {
  readonly resource?: string;
  /** Ask for the roster before the initial presence. */
  readonly roster?: boolean;
  /** Send initial presence and wait for its reflection (RFC 6121 4.2.2); on unless false. */
  readonly presence?: boolean;
  /** Enable stream management with resumption (XEP-0198). */
  readonly sm?: boolean;
  /** Enable carbons (XEP-0280). */
  readonly carbons?: boolean;
}

/** How a connection ends without a word: in order, by a reset, or unnoticed by the server, for which it goes on. */
export type Cut = 'fin' | 'reset' | 'silent';

/** What a client that manages its stream remembers (XEP-0198 4). Counters do not wrap here: no load lasts that long. */
export interface StreamState {
  /** Names the session when it is resumed. */
  id: string;
  /** Stanzas that came: what `<a h=''/>` says. */
  received: number;
  /** Stanzas that were sent, and how many of them the server has acknowledged. */
  sent: number;
  acked: number;
}

const FEATURES = /<(?:stream:)?features[^>]*\/>|<\/(?:stream:)?features>/;
const BROKEN = /<stream:error[\s\S]*|<failure[\s\S]*/;
const SM = 'urn:xmpp:sm:3';
const RESUMED = /<resumed [^>]*>|<failed [^>]*\/>|<failed [\s\S]*?<\/failed>/;
/** What clients were given, by user and resource. */
const tokens = new Map<string, string>();

/** Now, in microseconds on the clock that all processes of this machine share. */
export function nowMicros(): number {
  const [seconds, nanos] = process.hrtime();
  return seconds * 1e6 + Math.trunc(nanos / 1e3);
}

export class Client {
  /** May be changed between connections, for a server that has moved. */
  target: Target;
  readonly user: string;
  jid = '';
  /** Takes over every chunk once the login is done. */
  onChunk: ((chunk: Buffer) => void) | undefined;
  /** Told when the connection ends without having been closed from here. */
  onLost: ((why: string) => void) | undefined;
  /** With stream management: gets every stanza that comes, whole, as latin1. */
  onStanza: ((xml: string) => void) | undefined;
  /** Told how many stanzas the server has acknowledged by now. */
  onAck: ((acked: number) => void) | undefined;
  /** Whether `<r/>` is answered; a client whose device sleeps does not. */
  answersRequests = true;
  sm: StreamState | undefined;
  /** How long a login or an answer may take, in milliseconds. */
  patience = 60_000;

  private cutter: StanzaCutter | undefined;
  /** Of a WebSocket, once it is one. */
  private frames: FrameReader | undefined;
  readonly index: number;
  private socket!: Socket;
  /** The connection below TLS. */
  private tcp!: Socket;
  private text = '';
  private awaited:
    | { pattern: RegExp; done: (match: RegExpExecArray) => void; failed: (error: Error) => void }
    | undefined;
  private ended = false;
  private isClosing = false;
  private isIn = false;
  /** The stream error that came last. */
  private reason = '';
  private pings = 0;
  private resource = '';
  /** A connection that was left to itself, and that the server may still believe in. */
  private abandoned: Socket | undefined;

  /** `index` counts from 1 and is the user's number, too. */
  constructor(target: Target, index: number) {
    this.target = target;
    this.index = index;
    this.user = `${target.userPrefix}${index}`;
  }

  get bareJid(): string {
    return `${this.user}@${this.target.domain}`;
  }

  /** Connects and logs in. Throws with what the server said, or when that takes too long. */
  async login(options: LoginOptions = {}): Promise<LoginTimes> {
    return this.bounded(async () => {
      const start = nowMicros();
      await this.connect();
      const connected = nowMicros();
      const { sasl } = this.target;
      const isOne = sasl === 'sasl2' || sasl === 'fast';
      this.resource = options.resource ?? 'bench';
      if (isOne) await this.enter("<bind xmlns='urn:xmpp:bind:0'/>");
      else await this.authenticate();
      const authenticated = nowMicros();
      if (!isOne) {
        await this.openStream();
        await this.bind(this.resource);
      }
      if (options.sm) await this.manage();
      if (options.carbons) {
        this.send("<iq type='set' id='bench-carbons'><enable xmlns='urn:xmpp:carbons:2'/></iq>");
        const [answer] = await this.expect(/<iq [^>]*id=["']bench-carbons["'][^>]*>/);
        if (!/type=["']result["']/.test(answer)) throw new Error(`no carbons: ${answer}`);
      }
      if (options.roster) {
        this.send("<iq type='get' id='bench-roster'><query xmlns='jabber:iq:roster'/></iq>");
        await this.expect(/<iq [^>]*id=["']bench-roster["']/);
      }
      if (options.presence !== false) {
        this.send('<presence/>');
        await this.expect(/<presence[^>]*>/);
      }
      this.isIn = true;
      const end = nowMicros();
      return {
        connect: connected - start,
        authenticate: authenticated - connected,
        bind: end - authenticated,
        total: end - start,
      };
    });
  }

  /** Registers the account in-band (XEP-0077); an account that is already there counts as registered. */
  async register(): Promise<void> {
    await this.bounded(async () => {
      await this.connect();
      this.write(
        `<iq type='set' id='bench-register'><query xmlns='jabber:iq:register'><username>${this.user}</username>` +
          `<password>${this.target.password}</password></query></iq>`,
      );
      const [answer] = await this.expect(/<iq [^>]*(?:\/>|>[\s\S]*?<\/iq>)/);
      if (!/type=["']result["']/.test(answer) && !answer.includes('<conflict'))
        throw new Error(`not registered: ${answer}`);
    });
    await this.close();
  }

  /**
   * Connects anew and resumes the session (XEP-0198 5). Afterwards `sm.acked` says what the server has had of it.
   * Throws when the server refuses, or when it takes too long.
   */
  async resume(): Promise<LoginTimes> {
    const { sm } = this;
    if (sm === undefined) throw new Error('there is no managed stream to resume');
    return this.bounded(async () => {
      const start = nowMicros();
      this.cutter = undefined;
      this.isIn = false;
      this.isClosing = false;
      this.ended = false;
      await this.connect();
      const connected = nowMicros();
      const { sasl } = this.target;
      const isOne = sasl === 'sasl2' || sasl === 'fast';
      const request = `<resume xmlns='${SM}' h='${sm.received}' previd='${sm.id}'/>`;
      let answer = '';
      if (isOne) [answer = ''] = RESUMED.exec(await this.enter(request)) ?? [];
      else await this.authenticate();
      const authenticated = nowMicros();
      if (!isOne) {
        await this.openStream();
        this.write(request);
        [answer] = await this.expect(RESUMED);
      }
      if (!answer.startsWith('<resumed')) throw new Error(`not resumed: ${answer}`);
      const end = nowMicros();
      this.isIn = true;
      sm.acked = Number(attribute(answer, 'h'));
      this.count();
      this.abandoned?.destroy();
      this.abandoned = undefined;
      return {
        connect: connected - start,
        authenticate: authenticated - connected,
        bind: end - authenticated,
        total: end - start,
      };
    });
  }

  write(xml: string): void {
    if (this.frames) this.socket.write(framesOf(xml));
    else this.socket.write(xml, 'latin1');
  }

  /** Writes `n` stanzas and counts them; with `asks`, asks how many the server has had. */
  send(xml: string, n = 1, asks = false): void {
    if (this.sm) this.sm.sent += n;
    this.write(asks ? `${xml}<r xmlns='${SM}'/>` : xml);
  }

  get isConnected(): boolean {
    return this.isIn && !this.ended;
  }

  /** Asks the server something small: when it has answered, it has handled what was sent before. Throws when that takes too long. */
  async ping(): Promise<void> {
    const id = `bench-ping${++this.pings}`;
    await this.bounded(async () => {
      this.send(`<iq type='get' id='${id}' to='${this.target.domain}'><ping xmlns='urn:xmpp:ping'/></iq>`);
      await this.expect(new RegExp(`<iq [^>]*id=["']${id}["']`));
    });
  }

  /** Ends the connection without closing the stream. */
  cut(how: Cut = 'reset'): void {
    this.isClosing = true;
    this.cutter = undefined;
    this.ended = true;
    if (how === 'fin') this.socket.destroy();
    else if (how === 'reset') {
      this.tcp.resetAndDestroy();
      this.socket.destroy();
    } else {
      this.abandoned = this.socket;
      this.socket.removeAllListeners('data');
      this.socket.pause();
    }
  }

  /** Closes the stream and waits briefly for the server to do the same. */
  async close(): Promise<void> {
    this.isClosing = true;
    this.abandoned?.destroy();
    if (this.ended || !this.socket) return;
    const closed = new Promise<void>((resolve) => this.socket.once('close', () => resolve()));
    const timer = setTimeout(() => this.socket.destroy(), 5_000);
    // RFC 6120 4.4, XEP-0198 4: the last count goes before the end
    if (this.sm && this.answersRequests) this.write(this.answer());
    if (this.frames) {
      this.write("<close xmlns='urn:ietf:params:xml:ns:xmpp-framing'/>");
      this.socket.end();
    } else this.socket.end('</stream:stream>');
    await closed;
    clearTimeout(timer);
  }

  private async bounded<T>(work: () => Promise<T>): Promise<T> {
    const timer = setTimeout(() => this.fail(new Error(`no answer in ${this.patience / 1000} s`)), this.patience);
    try {
      return await work();
    } catch (error) {
      this.isClosing = true;
      this.socket?.destroy();
      throw error;
    } finally {
      clearTimeout(timer);
    }
  }

  private async connect(): Promise<void> {
    const { host, port, tls, sources } = this.target;
    const localAddress = sources > 1 ? `127.0.0.${1 + (this.index % sources)}` : undefined;
    this.frames = undefined;
    this.tcp = connect({ host, port, noDelay: true, ...(localAddress ? { localAddress } : {}) });
    this.adopt(this.tcp);
    await this.once('connect');
    if (tls === 'direct') await this.secure();
    if (this.target.transport === 'ws') await this.upgrade();
    await this.openStream();
    if (tls === 'starttls') {
      this.write("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>");
      await this.expect(/<proceed[^>]*>/);
      await this.secure();
      await this.openStream();
    }
  }

  private async upgrade(): Promise<void> {
    this.text = '';
    this.socket.write(upgradeRequest(`${this.target.domain}:${this.target.port}`), 'latin1');
    const [, status] = await this.expect(/^HTTP\/1.1 (\d+)[\s\S]*?\r\n\r\n/);
    if (status !== '101') throw new Error(`no WebSocket: ${status}`);
    this.frames = new FrameReader();
  }

  private async authenticate(): Promise<void> {
    const { password, sasl } = this.target;
    const auth = (mechanism: string, response: string) =>
      this.write(`<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='${mechanism}'>${response}</auth>`);
    if (sasl === 'plain') {
      auth('PLAIN', plainResponse(this.user, password));
      await this.expect(/<success[^>]*>/);
      return;
    }
    const exchange = scramSha1(this.user, password);
    auth('SCRAM-SHA-1', exchange.first);
    const [, challenge] = await this.expect(/<challenge[^>]*>([^<]*)<\/challenge>/);
    this.write(`<response xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>${exchange.answer(challenge!)}</response>`);
    const [, success] = await this.expect(/<success[^>]*>([^<]*)<\/success>/);
    if (!exchange.isGenuine(success!)) throw new Error('the server did not prove that it knows the password');
  }

  /** One round trip, with what is asked for inline; of tokens the first login gets one. Returns the answer. */
  private async enter(inline: string): Promise<string> {
    const { password, sasl } = this.target;
    const isFast = sasl === 'fast';
    const device = `${this.bareJid}/${this.resource}`;
    const known = isFast ? tokens.get(device) : undefined;
    const response = known === undefined ? plainResponse(this.user, password) : tokenProof(this.user, known);
    const wants = isFast ? "<request-token xmlns='urn:xmpp:fast:0' mechanism='HT-SHA-256-NONE'/>" : '';
    const agent = `<user-agent id='${uuidOf(device)}'/>`;
    this.write(
      `<authenticate xmlns='urn:xmpp:sasl:2' mechanism='${known === undefined ? 'PLAIN' : 'HT-SHA-256-NONE'}'>` +
        `<initial-response>${response}</initial-response>${isFast ? agent : ''}` +
        `${known === undefined ? wants : "<fast xmlns='urn:xmpp:fast:0'/>"}${inline}</authenticate>`,
    );
    const [success, jid] = await this.expect(
      /<success[^>]*>[\s\S]*<authorization-identifier>([^<]*)[\s\S]*<\/success>/,
    );
    this.jid = jid!;
    const token = attribute(/<token [^>]*>/.exec(success)?.[0] ?? '', 'token');
    if (token !== undefined) tokens.set(device, token);
    // a session that goes on has no further features (XEP-0198 9.2)
    if (!success.includes('<resumed')) await this.expect(FEATURES);
    return success;
  }

  private async bind(resource: string): Promise<void> {
    this.write(
      "<iq type='set' id='bench-bind'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>" +
        `<resource>${resource}</resource></bind></iq>`,
    );
    const [, jid] = await this.expect(/<jid>([^<]+)<\/jid>[\s\S]*?<\/iq>/);
    this.jid = jid!;
  }

  private async manage(): Promise<void> {
    this.write(`<enable xmlns='${SM}' resume='true'/>`);
    const [enabled] = await this.expect(/<enabled [^>]*>|<failed [\s\S]*<\/failed>/);
    if (!enabled.startsWith('<enabled')) throw new Error(`no stream management: ${enabled}`);
    this.sm = { id: attribute(enabled, 'id') ?? '', received: 0, sent: 0, acked: 0 };
    this.count();
  }

  /** From here on stanzas are counted, those first that came together with the answer. */
  private count(): void {
    this.cutter = new StanzaCutter((xml) => this.take(xml));
    this.cutter.feed(this.text);
  }

  private take(xml: string): void {
    const sm = this.sm!;
    if (xml.startsWith('<r ') || xml.startsWith('<r/')) {
      if (this.answersRequests) this.write(this.answer());
    } else if (xml.startsWith('<a ')) {
      sm.acked = Number(attribute(xml, 'h'));
      this.onAck?.(sm.acked);
    } else if (xml.startsWith('<message') || xml.startsWith('<iq') || xml.startsWith('<presence')) {
      sm.received++;
      this.onStanza?.(xml);
    } else if (xml.startsWith('<stream:error')) this.reason = xml;
  }

  private answer(): string {
    return `<a xmlns='${SM}' h='${this.sm!.received}'/>`;
  }

  private async openStream(): Promise<void> {
    this.text = '';
    if (this.frames) {
      this.write(`<open xmlns='urn:ietf:params:xml:ns:xmpp-framing' to='${this.target.domain}' version='1.0'/>`);
      await this.expect(FEATURES);
      return;
    }
    this.write(
      `<?xml version='1.0'?><stream:stream to='${this.target.domain}' version='1.0' xmlns='jabber:client' ` +
        "xmlns:stream='http://etherx.jabber.org/streams'>",
    );
    await this.expect(FEATURES);
  }

  private async secure(): Promise<void> {
    const plain = this.socket;
    plain.removeAllListeners('data');
    // The benchmark's servers have certificates of their own making; who they are is not what is measured.
    this.adopt(
      tlsConnect({
        socket: plain,
        servername: this.target.domain,
        rejectUnauthorized: false,
        secureContext: sharedContext(),
      }),
    );
    await this.once('secureConnect');
  }

  private adopt(socket: Socket): void {
    this.socket = socket;
    socket.on('data', (data: Buffer) => {
      const chunk = this.frames ? this.frames.feed(data, (frame) => socket.write(frame)) : data;
      this.cutter?.feed(chunk.toString('latin1'));
      if (this.isIn) this.onChunk?.(chunk);
      if (!this.isIn || this.awaited) this.read(chunk);
    });
    socket.on('error', (error) => {
      if (socket === this.socket) this.fail(error);
    });
    socket.on('close', () => {
      if (socket !== this.socket) return;
      this.ended = true;
      this.fail(new Error(`connection closed${this.text ? ` after: ${this.text.slice(-200)}` : ''}`));
      if (!this.isClosing) this.onLost?.(`connection closed by the server ${this.reason}`);
    });
  }

  private once(event: 'connect' | 'secureConnect'): Promise<void> {
    return new Promise((resolve, reject) => {
      this.awaited = { pattern: /$^/, done: () => undefined, failed: reject };
      this.socket.once(event, () => {
        this.awaited = undefined;
        resolve();
      });
    });
  }

  /** Waits for a pattern in what the server sends and consumes everything up to its end. */
  private expect(pattern: RegExp): Promise<RegExpExecArray> {
    return new Promise((done, failed) => {
      if (this.isIn) this.text = '';
      this.awaited = { pattern, done, failed };
      this.match();
      if (this.ended) this.fail(new Error('connection closed by the server'));
    });
  }

  private read(chunk: Buffer): void {
    this.text += chunk.toString('latin1');
    this.match();
  }

  private match(): void {
    const awaited = this.awaited;
    if (!awaited) return;
    const match = awaited.pattern.exec(this.text);
    if (match) {
      this.awaited = undefined;
      this.text = this.text.slice(match.index + match[0].length);
      awaited.done(match);
      return;
    }
    const broken = BROKEN.exec(this.text);
    if (broken) this.fail(new Error(`refused: ${broken[0].slice(0, 300)}`));
  }

  private fail(error: Error): void {
    const awaited = this.awaited;
    this.awaited = undefined;
    awaited?.failed(error);
  }
}

let context: SecureContext | undefined;

/** One context for all connections of the process: making one costs more than a handshake. */
function sharedContext(): SecureContext {
  context ??= createSecureContext();
  return context;
}

/** The value of an attribute in a start tag, as it is written there. */
export function attribute(tag: string, name: string): string | undefined {
  const found = new RegExp(`\\s${name}=(?:"([^"]*)"|'([^']*)')`).exec(tag);
  return found?.[1] ?? found?.[2];
}

/** The UUID that a client calls itself by: another for each of a user's. */
function uuidOf(device: string): string {
  const hex = createHash('sha256').update(device).digest('hex');
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-4${hex.slice(13, 16)}-8${hex.slice(17, 20)}-${hex.slice(20, 32)}`;
}
