// XMPP over WebSocket (RFC 6455, RFC 7395) for the light client: frames by hand, around the socket that it has anyway.

import { randomBytes } from 'node:crypto';
import { StanzaCutter } from './stanzas.ts';

export const WEBSOCKET_PATH = '/xmpp-websocket';

const TEXT = 0x81;
const PONG = 0x8a;
const STANZA = /^<(message|presence|iq)(?=[\s/>])/;

/** The request that makes a connection to `host` a WebSocket. */
export function upgradeRequest(host: string): string {
  const key = randomBytes(16).toString('base64');
  return (
    `GET ${WEBSOCKET_PATH} HTTP/1.1\r\nHost: ${host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n` +
    `Sec-WebSocket-Key: ${key}\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: xmpp\r\n\r\n`
  );
}

/** One frame of text for each element in `xml`, with the namespace that stanzas need where no stream declares it (RFC 7395 3.3.3). */
export function framesOf(xml: string): Buffer {
  const frames: Buffer[] = [];
  const cutter = new StanzaCutter((element) => {
    frames.push(frame(TEXT, Buffer.from(element.replace(STANZA, "<$1 xmlns='jabber:client'"), 'latin1')));
  });
  cutter.feed(xml);
  return frames.length === 1 ? frames[0]! : Buffer.concat(frames);
}

/** Takes payloads out of the frames that a server sends, and answers its pings. */
export class FrameReader {
  private rest: Buffer = Buffer.alloc(0);

  /** The texts that are complete with this chunk, joined. `reply` gets what must be sent at once. */
  feed(chunk: Buffer, reply: (frame: Buffer) => void): Buffer {
    let data = this.rest.length === 0 ? chunk : Buffer.concat([this.rest, chunk]);
    const texts: Buffer[] = [];
    for (;;) {
      const head = headOf(data);
      if (head === undefined || data.length < head.start + head.length) break;
      const payload = data.subarray(head.start, head.start + head.length);
      data = data.subarray(head.start + head.length);
      if (head.opcode === 0x9) reply(frame(PONG, payload));
      else if (head.opcode < 0x8) texts.push(payload);
    }
    this.rest = data;
    return texts.length === 1 ? texts[0]! : Buffer.concat(texts);
  }
}

/** Masked with zeros: what a client must do (RFC 6455 5.3), without the work of it. */
function frame(type: number, payload: Buffer): Buffer {
  const { length } = payload;
  const extended = length < 126 ? 0 : length < 65536 ? 2 : 8;
  const head = Buffer.alloc(2 + extended + 4);
  head[0] = type;
  head[1] = 0x80 | (extended === 0 ? length : extended === 2 ? 126 : 127);
  if (extended === 2) head.writeUInt16BE(length, 2);
  else if (extended === 8) head.writeBigUInt64BE(BigInt(length), 2);
  return Buffer.concat([head, payload]);
}

function headOf(data: Buffer): { opcode: number; start: number; length: number } | undefined {
  if (data.length < 2) return undefined;
  const opcode = data[0]! & 0x0f;
  const short = data[1]! & 0x7f;
  if (short < 126) return { opcode, start: 2, length: short };
  const start = short === 126 ? 4 : 10;
  if (data.length < start) return undefined;
  return { opcode, start, length: short === 126 ? data.readUInt16BE(2) : Number(data.readBigUInt64BE(2)) };
}
