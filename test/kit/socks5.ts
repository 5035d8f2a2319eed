// The client's side of SOCKS5 (RFC 1928), for bytestreams (XEP-0065).
import { createHash } from 'node:crypto';
import { connect, type Socket } from 'node:net';

/** Hexadecimal SHA-1 of what the peers have in common (XEP-0065 5.3.2). */
export const streamName = (sid: string, requester: string, target: string): string =>
  createHash('sha1').update(`${sid}${requester}${target}`).digest('hex');

/** What is sent to connect to a name: the greeting, and the request. */
export const greeting = Buffer.from([5, 1, 0]);
export function requestFor(name: string, { command = 1, kind = 3 } = {}): Buffer {
  return Buffer.concat([Buffer.from([5, command, 0, kind, name.length]), Buffer.from(name), Buffer.from([0, 0])]);
}

export class Peer {
  readonly socket: Socket;
  /** All that has come, the answers of SOCKS5 too. */
  received: Buffer = Buffer.alloc(0);
  isEnded = false;

  private readonly waiting = new Set<() => void>();

  constructor(port: number) {
    this.socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
    const wake = (): void => {
      for (const done of this.waiting) done();
    };
    this.socket.on('data', (chunk) => {
      this.received = Buffer.concat([this.received, chunk]);
      wake();
    });
    this.socket.on('end', () => {
      this.isEnded = true;
      wake();
    });
    this.socket.on('close', wake);
    this.socket.on('error', () => {});
  }

  /** Connects under a name. @throws Error when it is refused */
  static async join(port: number, name: string): Promise<Peer> {
    const peer = new Peer(port);
    peer.socket.write(greeting);
    await peer.has(2);
    peer.socket.write(requestFor(name));
    const answer = await peer.has(2 + 7 + name.length);
    if (answer[3] !== 0) throw new Error(`refused with ${answer[3]}`);
    peer.received = Buffer.alloc(0);
    return peer;
  }

  /** Waits until so many bytes have come, or it is over. */
  async has(length: number): Promise<Buffer> {
    await this.until(() => this.received.length >= length);
    return this.received;
  }

  /** Waits until nothing comes any more. */
  ended(): Promise<void> {
    return this.until(() => false);
  }

  private until(isDone: () => boolean): Promise<void> {
    return new Promise((resolve) => {
      const look = (): void => {
        if (!isDone() && !this.isEnded && !this.socket.destroyed) return;
        this.waiting.delete(look);
        resolve();
      };
      this.waiting.add(look);
      look();
    });
  }
}
