// A client of STUN and TURN (RFC 8489, RFC 8656), to see whether a relay works: it asks for its own address, for one at the relay, and sends
// through that. Of TURN no more than that: nothing is kept alive, and there are no channels.

import { randomBytes } from 'node:crypto';
import { createSocket, type Socket as UdpSocket } from 'node:dgram';
import { connect as connectTcp, isIPv6, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import {
  decodeAddress,
  decodeStun,
  encodeAddress,
  encodeStun,
  STUN,
  STUN_ATTRIBUTE,
  type StunAddress,
  type StunMessage,
  stunKey,
  stunLength,
  stunOutcome,
} from './stun.ts';

export interface TurnTarget {
  /** An address, not a name. */
  readonly address: string;
  readonly port: number;
  readonly transport: 'udp' | 'tcp';
  /** The name that its certificate is for, where TLS is spoken; over TCP only. */
  readonly tls?: { readonly name: string } | undefined;
}

/** The server has refused. */
export class TurnRefused extends Error {
  /** The number of the error (RFC 8489 14.8, RFC 8656 19): 401 for wrong or expired credentials. */
  readonly code: number;
  readonly answer: StunMessage;

  constructor(code: number, answer: StunMessage) {
    super(`refused with ${code}`);
    this.code = code;
    this.answer = answer;
  }
}

type Wanted = readonly (readonly [type: number, value: Buffer])[];

/** How often a datagram that is not answered is sent again, in milliseconds. */
const AGAIN = 500;
const UDP = Buffer.from([17, 0, 0, 0]);

export class TurnClient {
  /** What came through the relay. */
  readonly received: { readonly from: StunAddress; readonly data: Buffer }[] = [];
  private readonly timeout: number;
  private readonly write: (bytes: Buffer) => void;
  private readonly end: () => void;
  private readonly isDatagrams: boolean;
  private readonly waiting = new Map<string, (answer: StunMessage | Error) => void>();
  private arrived: (() => void) | undefined;
  private signing: { readonly attributes: Wanted; readonly key: Buffer } | undefined;

  private constructor(way: { write(bytes: Buffer): void; end(): void; isDatagrams: boolean }, timeout: number) {
    this.write = (bytes) => way.write(bytes);
    this.end = () => way.end();
    this.isDatagrams = way.isDatagrams;
    this.timeout = timeout;
  }

  /** @param timeout milliseconds for connecting, and for each answer. @throws Error when there is no connection */
  static async connect(target: TurnTarget, timeout = 3000): Promise<TurnClient> {
    if (target.transport === 'udp') return TurnClient.overUdp(target, timeout);
    const socket = await openStream(target, timeout);
    const client = new TurnClient(
      { write: (bytes) => void socket.write(bytes), end: () => socket.destroy(), isDatagrams: false },
      timeout,
    );
    let rest: Buffer = Buffer.alloc(0);
    socket.on('data', (chunk: Buffer) => {
      rest = Buffer.concat([rest, chunk]);
      try {
        for (let length = stunLength(rest); length !== undefined && rest.length >= length; length = stunLength(rest)) {
          client.take(rest.subarray(0, length));
          rest = rest.subarray(length);
        }
      } catch (error) {
        client.fail(error as Error);
        socket.destroy();
      }
    });
    socket.on('error', (error) => client.fail(error));
    socket.on('close', () => client.fail(new Error('the connection was closed')));
    return client;
  }

  private static overUdp({ address, port }: TurnTarget, timeout: number): Promise<TurnClient> {
    return new Promise((done, failed) => {
      const socket: UdpSocket = createSocket(isIPv6(address) ? 'udp6' : 'udp4');
      socket.once('error', failed);
      socket.connect(port, address, () => {
        const way = { write: (bytes: Buffer) => socket.send(bytes), end: () => void socket.close(), isDatagrams: true };
        const client = new TurnClient(way, timeout);
        socket.removeListener('error', failed);
        // (what nobody listens to there is told by the network)
        socket.on('error', (error) => client.fail(error));
        socket.on('message', (bytes) => client.take(bytes));
        done(client);
      });
    });
  }

  /** Our address, as the server sees it. @throws TurnRefused, Error when there is no answer */
  async bind(): Promise<StunAddress> {
    const answer = await this.ask(STUN.binding, []);
    return addressIn(answer, STUN_ATTRIBUTE.xorMappedAddress);
  }

  /** An address at the relay, for datagrams. @throws TurnRefused for wrong credentials (401) too, Error when there is no answer */
  async allocate(username: string, password: string): Promise<StunAddress> {
    const wanted: Wanted = [[STUN_ATTRIBUTE.requestedTransport, UDP]];
    // RFC 8489 9.2.3: the first one is refused, with what it takes to sign the next
    const { attributes } = await this.ask(STUN.allocate, wanted).catch((error: unknown) => {
      if (error instanceof TurnRefused && error.code === 401) return error.answer;
      throw error;
    });
    const realm = attributes.get(STUN_ATTRIBUTE.realm);
    const nonce = attributes.get(STUN_ATTRIBUTE.nonce);
    if (realm === undefined || nonce === undefined) throw new Error('it does not ask for credentials');
    this.signing = {
      key: stunKey(username, realm.toString(), password),
      attributes: [
        [STUN_ATTRIBUTE.username, Buffer.from(username)],
        [STUN_ATTRIBUTE.realm, realm],
        [STUN_ATTRIBUTE.nonce, nonce],
      ],
    };
    return addressIn(await this.ask(STUN.allocate, wanted), STUN_ATTRIBUTE.xorRelayedAddress);
  }

  /** Lets datagrams from an address through to us, and ours to it. @throws TurnRefused (403 where the relay may not reach it) */
  async permit(peer: StunAddress): Promise<void> {
    const transaction = randomBytes(12);
    const wanted: Wanted = [[STUN_ATTRIBUTE.xorPeerAddress, encodeAddress(peer, transaction)]];
    await this.ask(STUN.createPermission, wanted, transaction);
  }

  /** Sends a datagram from the address at the relay. */
  send(peer: StunAddress, data: Buffer): void {
    const transaction = randomBytes(12);
    const attributes: Wanted = [
      [STUN_ATTRIBUTE.xorPeerAddress, encodeAddress(peer, transaction)],
      [STUN_ATTRIBUTE.data, data],
    ];
    this.write(encodeStun(STUN.sendIndication, attributes, { transaction }));
  }

  /** Waits until something has come through the relay; false when nothing does within `ms`. */
  async arrives(ms: number = this.timeout): Promise<boolean> {
    if (this.received.length > 0) return true;
    let timer: NodeJS.Timeout | undefined;
    await new Promise<void>((done) => {
      this.arrived = done;
      timer = setTimeout(done, ms);
    });
    clearTimeout(timer);
    return this.received.length > 0;
  }

  /** Gives the address at the relay back, where there is one, and closes. */
  close(): void {
    const { signing } = this;
    if (signing !== undefined) {
      const attributes: Wanted = [...signing.attributes, [STUN_ATTRIBUTE.lifetime, Buffer.alloc(4)]];
      this.write(encodeStun(STUN.refresh, attributes, { key: signing.key }));
    }
    // what was written leaves before the socket does
    setImmediate(this.end);
  }

  private ask(type: number, wanted: Wanted, transaction: Buffer = randomBytes(12)): Promise<StunMessage> {
    const { signing } = this;
    const attributes = signing === undefined ? wanted : [...wanted, ...signing.attributes];
    const bytes = encodeStun(type, attributes, { transaction, key: signing?.key });
    const id = transaction.toString('hex');
    return new Promise<StunMessage>((done, failed) => {
      const again = this.isDatagrams ? setInterval(() => this.write(bytes), AGAIN) : undefined;
      const timer = setTimeout(() => finish(new Error('it does not answer')), this.timeout);
      const finish = (answer: StunMessage | Error): void => {
        clearInterval(again);
        clearTimeout(timer);
        this.waiting.delete(id);
        if (answer instanceof Error) {
          failed(answer);
          return;
        }
        const outcome = stunOutcome(answer, type);
        if (outcome === 'success') done(answer);
        else if (outcome === undefined) failed(new Error('what came is no answer'));
        else failed(new TurnRefused(outcome.code, answer));
      };
      this.waiting.set(id, finish);
      this.write(bytes);
    });
  }

  private take(bytes: Buffer): void {
    const message = decodeStun(bytes);
    if (message === undefined) return;
    if (message.type !== STUN.dataIndication) {
      this.waiting.get(message.transaction.toString('hex'))?.(message);
      return;
    }
    const from = decodeAddress(message.attributes.get(STUN_ATTRIBUTE.xorPeerAddress), message.transaction);
    const data = message.attributes.get(STUN_ATTRIBUTE.data);
    if (from === undefined || data === undefined) return;
    this.received.push({ from, data });
    this.arrived?.();
  }

  private fail(error: Error): void {
    for (const finish of [...this.waiting.values()]) finish(error);
  }
}

function openStream({ address, port, tls }: TurnTarget, timeout: number): Promise<Socket> {
  return new Promise((done, failed) => {
    const where = { host: address, port };
    const opened = (): void => {
      clearTimeout(timer);
      socket.removeListener('error', failed);
      done(socket);
    };
    const socket: Socket =
      tls === undefined ? connectTcp(where, opened) : connectTls({ ...where, servername: tls.name }, opened);
    socket.once('error', failed);
    const timer = setTimeout(() => socket.destroy(new Error('it does not answer')), timeout);
  });
}

function addressIn({ attributes, transaction }: StunMessage, name: number): StunAddress {
  const address = decodeAddress(attributes.get(name), transaction);
  if (address === undefined) throw new Error('its answer has no address');
  return address;
}
