// Asks name servers for SRV records: over UDP, and over TCP where the answer is too long (RFC 1035 4.2, RFC 7766). They resolve names
// for us and keep the answers; nothing is followed here. Addresses are asked for by node:dns, which tells how long they hold.
import { randomInt } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { connect, isIP } from 'node:net';
import type { Clock } from '../base/clock.ts';
import { type DnsReply, readSrvReply, type SrvRecord, writeSrvQuestion } from './dns-message.ts';

/** What was found, and for how long it holds. */
export interface SrvAnswer {
  /** Empty where there are none. */
  readonly records: readonly SrvRecord[];
  /** In seconds; undefined where nobody says. */
  readonly ttl: number | undefined;
}

/** Codes of node:dns for those of RFC 1035 4.1.1. */
const problems: Readonly<Record<number, string>> = { 1: 'EFORMERR', 2: 'ESERVFAIL', 4: 'ENOTIMP', 5: 'EREFUSED' };
const NO_SUCH_NAME = 3;
const PORT = 53;
/** How often each server is asked. */
const ROUNDS = 2;

/**
 * Asks one server after another.
 * @param servers as node:dns names them: `192.0.2.1`, `192.0.2.1:5353`, `[2001:db8::1]:5353`
 * @param timeout for one server, in milliseconds
 * @throws Error with a `code` as node:dns has it
 */
export async function askForSrv(
  name: string,
  servers: readonly string[],
  clock: Clock,
  timeout: number,
): Promise<SrvAnswer> {
  let failure = failed('ECONNREFUSED');
  for (let i = 0; i < servers.length * ROUNDS; i++) {
    const server = placeOf(servers[i % servers.length]!);
    let question: Buffer;
    try {
      question = writeSrvQuestion(name, randomInt(0x10000));
    } catch {
      throw failed('EBADNAME');
    }
    try {
      let reply = await overUdp(server, question, clock, timeout);
      if (reply.isTruncated) reply = await overTcp(server, question, clock, timeout);
      if (reply.code === 0 || reply.code === NO_SUCH_NAME) return { records: reply.records, ttl: reply.ttl };
      failure = failed(problems[reply.code] ?? 'EBADRESP');
    } catch (error) {
      failure = error as Error;
    }
  }
  throw failure;
}

function failed(code: string): Error {
  return Object.assign(new Error(code), { code });
}

interface Place {
  readonly address: string;
  readonly port: number;
}

function placeOf(text: string): Place {
  const found = /^\[(.+)\](?::(\d+))?$/.exec(text) ?? (isIP(text) === 6 ? null : /^([^:]+)(?::(\d+))?$/.exec(text));
  return { address: found?.[1] ?? text, port: Number(found?.[2] ?? PORT) };
}

/** One socket for each question: its port is as hard to guess as the question's id (RFC 5452 9.2). */
function overUdp({ address, port }: Place, question: Buffer, clock: Clock, timeout: number): Promise<DnsReply> {
  return new Promise((resolve, reject) => {
    const socket = createSocket(isIP(address) === 6 ? 'udp6' : 'udp4');
    const cancel = clock.after(timeout, () => end(() => reject(failed('ETIMEOUT'))));
    const end = (then: () => void): void => {
      cancel();
      socket.removeAllListeners().on('error', () => {});
      socket.close();
      then();
    };
    socket.on('error', (error) => end(() => reject(error)));
    socket.on('message', (message) => {
      try {
        const reply = readSrvReply(message, question);
        // what does not belong to the question is not listened to
        if (reply !== undefined) end(() => resolve(reply));
      } catch {
        end(() => reject(failed('EBADRESP')));
      }
    });
    // connected: the system lets only this server answer
    socket.connect(port, address, () => socket.send(question));
  });
}

function overTcp({ address, port }: Place, question: Buffer, clock: Clock, timeout: number): Promise<DnsReply> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: address, port });
    let received = Buffer.alloc(0);
    const cancel = clock.after(timeout, () => socket.destroy(failed('ETIMEOUT')));
    socket.on('connect', () => {
      const length = Buffer.alloc(2);
      length.writeUInt16BE(question.length);
      socket.write(Buffer.concat([length, question]));
    });
    socket.on('data', (chunk: Buffer) => {
      received = Buffer.concat([received, chunk]);
      if (received.length < 2 || received.length < 2 + received.readUInt16BE(0)) return;
      try {
        const reply = readSrvReply(received.subarray(2, 2 + received.readUInt16BE(0)), question);
        if (reply !== undefined) resolve(reply);
      } catch {
        // told below
      }
      socket.destroy();
    });
    socket.on('error', reject);
    socket.on('close', () => {
      cancel();
      reject(failed('EBADRESP'));
    });
  });
}
