import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { createServer, type Server } from 'node:net';
import fc from 'fast-check';
import { afterEach, describe, expect, test } from 'vitest';
import { systemClock } from '../../../src/base/clock.ts';
import { askForSrv } from '../../../src/net/dns-client.ts';
import { readSrvReply, writeSrvQuestion } from '../../../src/net/dns-message.ts';

const NAME = '_xmpp-server._tcp.example.org';
const u16 = (...numbers: number[]): Buffer => Buffer.from(numbers.flatMap((n) => [n >> 8, n & 0xff]));
const u32 = (n: number): Buffer => u16(n >>> 16, n & 0xffff);
const name = (text: string): Buffer =>
  Buffer.concat([
    ...text.split('.').map((label) => Buffer.from(`${String.fromCharCode(label.length)}${label}`)),
    Buffer.alloc(1),
  ]);
/** The name of the question. */
const asked = u16(0xc00c);
/** `example.org` in the question. */
const zone = u16(0xc00c + 1 + '_xmpp-server'.length + 1 + '_tcp'.length);

function record(owner: Buffer, type: number, ttl: number, data: Buffer): Buffer {
  return Buffer.concat([owner, u16(type, 1), u32(ttl), u16(data.length), data]);
}
const srv = (ttl: number, target: Buffer, port = 5269): Buffer =>
  record(asked, 33, ttl, Buffer.concat([u16(10, 20, port), target]));
const soa = (ttl: number, minimum: number): Buffer =>
  record(zone, 6, ttl, Buffer.concat([zone, zone, u32(1), u32(2), u32(3), u32(4), u32(minimum)]));

interface Reply {
  readonly flags?: number;
  readonly answers?: readonly Buffer[];
  readonly authority?: readonly Buffer[];
}

function reply(question: Buffer, { flags = 0x8180, answers = [], authority = [] }: Reply): Buffer {
  const header = Buffer.concat([question.subarray(0, 2), u16(flags, 1, answers.length, authority.length, 0)]);
  return Buffer.concat([header, question.subarray(12), ...answers, ...authority]);
}

const host = Buffer.concat([Buffer.from('\u0004host'), zone]);
const open: (Socket | Server)[] = [];
afterEach(() => {
  for (const one of open.splice(0)) one.close();
});

/** A name server; what it says to each question, over UDP and over TCP. */
async function serve(
  udp: (question: Buffer) => readonly Buffer[],
  tcp: (question: Buffer) => Buffer = () => Buffer.alloc(0),
) {
  const server = createServer((socket) => {
    socket.on('error', () => {});
    socket.once('data', (data: Buffer) => {
      const answer = tcp(data.subarray(2));
      const whole = Buffer.concat([u16(answer.length), answer]);
      // in pieces, as it may come
      socket.write(whole.subarray(0, 1));
      setTimeout(() => socket.end(whole.subarray(1)), 20);
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as { readonly port: number };
  const socket = createSocket('udp4');
  socket.on('message', (question, from) => {
    for (const answer of udp(question)) socket.send(answer, from.port, from.address);
  });
  socket.bind(port, '127.0.0.1');
  await once(socket, 'listening');
  open.push(server, socket);
  return `127.0.0.1:${port}`;
}

const ask = (...servers: readonly string[]) => askForSrv(NAME, servers, systemClock, 200);

describe('SRV records', () => {
  test('come with the time for which all that led to them holds', async () => {
    const alias = record(asked, 5, 60, name('elsewhere.example.net'));
    const server = await serve((question) => [
      reply(question, { answers: [alias, srv(300, host), srv(90, name('b.example.net'), 5270)] }),
    ]);
    expect(await ask(server)).toEqual({
      records: [
        { name: 'host.example.org', port: 5269, priority: 10, weight: 20 },
        { name: 'b.example.net', port: 5270, priority: 10, weight: 20 },
      ],
      ttl: 60,
    });
  });

  test('that are not there are not there for as long as the zone says', async () => {
    for (const flags of [0x8183, 0x8180]) {
      const server = await serve((question) => [reply(question, { flags, authority: [soa(3600, 120)] })]);
      expect(await ask(server)).toEqual({ records: [], ttl: 120 });
    }
    const silent = await serve((question) => [reply(question, { flags: 0x8183 })]);
    expect(await ask(silent)).toEqual({ records: [], ttl: undefined });
  });

  test('that are too many come over TCP', async () => {
    const server = await serve(
      (question) => [reply(question, { flags: 0x8380 })],
      (question) => reply(question, { answers: Array.from({ length: 100 }, (_, i) => srv(300, host, i)) }),
    );
    expect((await ask(server)).records).toHaveLength(100);
  });

  test('the root is the empty name', async () => {
    const server = await serve((question) => [reply(question, { answers: [srv(300, Buffer.alloc(1), 0)] })]);
    expect((await ask(server)).records).toEqual([{ name: '', port: 0, priority: 10, weight: 20 }]);
  });
});

describe('name servers', () => {
  test('are asked one after another until one knows', async () => {
    const broken = await serve((question) => [reply(question, { flags: 0x8182 })]);
    const silent = await serve(() => []);
    const good = await serve((question) => [reply(question, { answers: [srv(300, host)] })]);
    expect((await ask(broken, silent, good)).records).toHaveLength(1);
  });

  test('that fail say how', async () => {
    await expect(ask(await serve((question) => [reply(question, { flags: 0x8182 })]))).rejects.toMatchObject({
      code: 'ESERVFAIL',
    });
    await expect(ask(await serve((question) => [reply(question, { flags: 0x8185 })]))).rejects.toMatchObject({
      code: 'EREFUSED',
    });
    await expect(ask(await serve(() => []))).rejects.toMatchObject({ code: 'ETIMEOUT' });
    await expect(ask('127.0.0.1:1')).rejects.toMatchObject({ code: 'ECONNREFUSED' });
    const cut = await serve((question) => [reply(question, { answers: [srv(300, host).subarray(0, 20)] })]);
    await expect(ask(cut)).rejects.toMatchObject({ code: 'EBADRESP' });
    await expect(askForSrv(`${'x'.repeat(64)}.org`, [cut], systemClock, 200)).rejects.toMatchObject({
      code: 'EBADNAME',
    });
  });

  test('are not listened to where they answer something else', async () => {
    const server = await serve((question) => {
      const forged = reply(question, { answers: [srv(300, name('evil.example'))] });
      const wrongId = Buffer.from(forged);
      wrongId.writeUInt16BE(question.readUInt16BE(0) ^ 1, 0);
      const wrongName = Buffer.from(forged);
      wrongName[14] = 0x7a;
      return [wrongId, wrongName, question, Buffer.from('x'), reply(question, { answers: [srv(300, host)] })];
    });
    expect((await ask(server)).records.map((one) => one.name)).toEqual(['host.example.org']);
  });
});

describe('replies that are wrong', () => {
  const question = writeSrvQuestion(NAME, 7);

  test('names that lead in circles or beyond the end', () => {
    const loop = srv(300, u16(0xc000 + question.length + 12 + 6));
    expect(() => readSrvReply(reply(question, { answers: [loop] }), question)).toThrow(RangeError);
    expect(() => readSrvReply(reply(question, { answers: [srv(300, u16(0xffff))] }), question)).toThrow(RangeError);
    expect(() => readSrvReply(reply(question, { answers: [srv(300, Buffer.from([63, 120]))] }), question)).toThrow(
      RangeError,
    );
  });

  test('rubbish is told as such, whatever it is', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), fc.nat(5), fc.nat(5), (tail, answers, authority) => {
        const header = Buffer.concat([question.subarray(0, 2), u16(0x8180, 1, answers, authority, 0)]);
        try {
          readSrvReply(Buffer.concat([header, question.subarray(12), tail]), question);
        } catch (error) {
          expect(error).toBeInstanceOf(RangeError);
        }
      }),
    );
  });
});
