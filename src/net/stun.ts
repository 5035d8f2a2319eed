// STUN messages (RFC 8489): as much of them as it takes to ask a STUN or TURN server (RFC 8656) whether it does what it should.
import { createHash, createHmac, randomBytes } from 'node:crypto';
import { isIPv4, isIPv6, SocketAddress } from 'node:net';

export interface StunAddress {
  readonly address: string;
  readonly port: number;
}

/** Methods with their classes, as they stand in the first two bytes (RFC 8489 5, RFC 8656 18.1). */
export const STUN = {
  binding: 0x0001,
  allocate: 0x0003,
  refresh: 0x0004,
  createPermission: 0x0008,
  sendIndication: 0x0016,
  dataIndication: 0x0017,
} as const;

const SUCCESS = 0x0100;
const ERROR = 0x0110;

/** What attributes are called by numbers (RFC 8489 14, RFC 8656 18). */
export const STUN_ATTRIBUTE = {
  username: 0x0006,
  messageIntegrity: 0x0008,
  errorCode: 0x0009,
  lifetime: 0x000d,
  xorPeerAddress: 0x0012,
  data: 0x0013,
  realm: 0x0014,
  nonce: 0x0015,
  xorRelayedAddress: 0x0016,
  requestedTransport: 0x0019,
  xorMappedAddress: 0x0020,
} as const;

const COOKIE = 0x2112a442;
const HEADER = 20;

export interface StunMessage {
  readonly type: number;
  /** 12 bytes that request and answer have in common. */
  readonly transaction: Buffer;
  readonly attributes: ReadonlyMap<number, Buffer>;
}

/** Whether a message is the answer to a request: an error has its code. */
export function stunOutcome(message: StunMessage, request: number): 'success' | { readonly code: number } | undefined {
  if (message.type === (request | SUCCESS)) return 'success';
  if (message.type !== (request | ERROR)) return undefined;
  const error = message.attributes.get(STUN_ATTRIBUTE.errorCode);
  return { code: error === undefined || error.length < 4 ? 0 : (error[2]! & 7) * 100 + error[3]! };
}

/** What a long-term credential becomes (RFC 8489 9.2.2). */
export function stunKey(username: string, realm: string, password: string): Buffer {
  return createHash('md5').update(`${username}:${realm}:${password}`).digest();
}

/** @param key signs the message where it is given */
export function encodeStun(
  type: number,
  attributes: readonly (readonly [type: number, value: Buffer])[],
  { transaction = randomBytes(12), key }: { readonly transaction?: Buffer; readonly key?: Buffer | undefined } = {},
): Buffer {
  const body = Buffer.concat(attributes.map(([name, value]) => attribute(name, value)));
  const message = Buffer.concat([header(type, body.length, transaction), body]);
  if (key === undefined) return message;
  // RFC 8489 14.5: the length counts the signature already
  message.writeUInt16BE(body.length + 24, 2);
  const signature = createHmac('sha1', key).update(message).digest();
  return Buffer.concat([message, attribute(STUN_ATTRIBUTE.messageIntegrity, signature)]);
}

function header(type: number, length: number, transaction: Buffer): Buffer {
  const bytes = Buffer.alloc(HEADER);
  bytes.writeUInt16BE(type, 0);
  bytes.writeUInt16BE(length, 2);
  bytes.writeUInt32BE(COOKIE, 4);
  transaction.copy(bytes, 8);
  return bytes;
}

function attribute(type: number, value: Buffer): Buffer {
  const bytes = Buffer.alloc(4 + value.length + padding(value.length));
  bytes.writeUInt16BE(type, 0);
  bytes.writeUInt16BE(value.length, 2);
  value.copy(bytes, 4);
  return bytes;
}

const padding = (length: number): number => (4 - (length % 4)) % 4;

/** The length of the message that begins here, from a stream; undefined until that can be told. @throws Error where none begins */
export function stunLength(bytes: Buffer): number | undefined {
  if (bytes.length < HEADER) return undefined;
  if ((bytes[0]! & 0xc0) !== 0 || bytes.readUInt32BE(4) !== COOKIE) throw new Error('what came is not STUN');
  return HEADER + bytes.readUInt16BE(2);
}

/** One whole message; undefined where it is none. Signatures are not looked at. */
export function decodeStun(bytes: Buffer): StunMessage | undefined {
  if (bytes.length < HEADER || (bytes[0]! & 0xc0) !== 0 || bytes.readUInt32BE(4) !== COOKIE) return undefined;
  if (bytes.readUInt16BE(2) !== bytes.length - HEADER) return undefined;
  const attributes = new Map<number, Buffer>();
  for (let at = HEADER; at < bytes.length; ) {
    if (at + 4 > bytes.length) return undefined;
    const type = bytes.readUInt16BE(at);
    const length = bytes.readUInt16BE(at + 2);
    const value = bytes.subarray(at + 4, at + 4 + length);
    if (value.length < length) return undefined;
    // RFC 8489 14: what comes twice counts once
    if (!attributes.has(type)) attributes.set(type, value);
    at += 4 + length + padding(length);
  }
  return { type: bytes.readUInt16BE(0), transaction: bytes.subarray(8, HEADER), attributes };
}

/** RFC 8489 14.2 */
export function encodeAddress({ address, port }: StunAddress, transaction: Buffer): Buffer {
  const raw = isIPv4(address) ? Buffer.from(address.split('.').map(Number)) : ipv6Bytes(address);
  const bytes = Buffer.alloc(4 + raw.length);
  bytes[1] = raw.length === 4 ? 1 : 2;
  bytes.writeUInt16BE(port ^ (COOKIE >>> 16), 2);
  mask(raw, transaction).copy(bytes, 4);
  return bytes;
}

/** Undefined where it is no address. */
export function decodeAddress(bytes: Buffer | undefined, transaction: Buffer): StunAddress | undefined {
  const size = bytes?.[1] === 1 ? 4 : bytes?.[1] === 2 ? 16 : undefined;
  if (bytes === undefined || size === undefined || bytes.length !== 4 + size) return undefined;
  const raw = mask(bytes.subarray(4), transaction);
  const port = bytes.readUInt16BE(2) ^ (COOKIE >>> 16);
  if (size === 4) return { address: raw.join('.'), port };
  const groups = Array.from({ length: 8 }, (_, i) => raw.readUInt16BE(2 * i).toString(16));
  return { address: new SocketAddress({ address: groups.join(':'), family: 'ipv6' }).address, port };
}

function mask(raw: Buffer, transaction: Buffer): Buffer {
  const over = Buffer.alloc(16);
  over.writeUInt32BE(COOKIE, 0);
  transaction.copy(over, 4);
  return Buffer.from(raw.map((byte, i) => byte ^ over[i]!));
}

function ipv6Bytes(address: string): Buffer {
  if (!isIPv6(address)) throw new Error(`${address} is not an address`);
  const [head = '', tail] = address.replace(/%.*$/, '').split('::');
  const groups = (part: string): number[] =>
    part.split(':').flatMap((group) => {
      if (group === '') return [];
      if (!group.includes('.')) return [Number.parseInt(group, 16)];
      const [a, b, c, d] = group.split('.').map(Number) as [number, number, number, number];
      return [(a << 8) | b, (c << 8) | d];
    });
  const before = groups(head);
  const after = groups(tail ?? '');
  const all = [...before, ...Array.from({ length: 8 - before.length - after.length }, () => 0), ...after];
  const bytes = Buffer.alloc(16);
  all.forEach((group, i) => void bytes.writeUInt16BE(group, 2 * i));
  return bytes;
}
