// Messages of DNS (RFC 1035 4), as far as it takes to ask for SRV records (RFC 2782) and to learn for how long an answer holds, which
// node:dns does not tell. No sockets in here.

export interface SrvRecord {
  readonly name: string;
  readonly port: number;
  readonly priority: number;
  readonly weight: number;
}

/** What a name server said. */
export interface DnsReply {
  /** RFC 1035 4.1.1: 0 for an answer, 3 where there is no such name. */
  readonly code: number;
  /** There is more than fits into one datagram: it is to be asked for over TCP. */
  readonly isTruncated: boolean;
  readonly records: readonly SrvRecord[];
  /** For how long that holds, in seconds; undefined where nobody says. */
  readonly ttl: number | undefined;
}

const HEADER = 12;
const SOA = 6;
const SRV = 33;
const INTERNET = 1;
/** RFC 1035 2.3.4. */
const MOST_NAME = 255;
const MOST_LABEL = 63;
/** RFC 2181 8: a longer time is none. */
const MOST_TTL = 2 ** 31 - 1;
const RESPONSE = 0x8000;
const TRUNCATED = 0x0200;
const RECURSION = 0x0100;
const OPCODE = 0x7800;

/** A question for SRV records. @param id from 0 to 65535, by chance. @throws RangeError for what is no name of DNS */
export function writeSrvQuestion(name: string, id: number): Buffer {
  const header = Buffer.alloc(HEADER);
  header.writeUInt16BE(id, 0);
  header.writeUInt16BE(RECURSION, 2);
  header.writeUInt16BE(1, 4);
  return Buffer.concat([header, encodeName(name), Buffer.from([0, SRV, 0, INTERNET])]);
}

/**
 * Reads the reply to a question, as it was written.
 * @returns undefined for what is no reply to this question: somebody else's, or a forgery
 * @throws RangeError when it is malformed
 */
export function readSrvReply(message: Buffer, question: Buffer): DnsReply | undefined {
  if (message.length < question.length || message.readUInt16BE(0) !== question.readUInt16BE(0)) return undefined;
  const flags = message.readUInt16BE(2);
  if ((flags & RESPONSE) === 0 || (flags & OPCODE) !== 0 || message.readUInt16BE(4) !== 1) return undefined;
  if (!isSameQuestion(message.subarray(HEADER, question.length), question.subarray(HEADER))) return undefined;
  const records: SrvRecord[] = [];
  const answers = message.readUInt16BE(6);
  const others = message.readUInt16BE(8);
  let offset = question.length;
  let ttl: number | undefined;
  for (let i = 0; i < answers + others; i++) {
    const record = readRecord(message, offset);
    offset = record.end;
    // the answer holds for as long as all that led to it; that there is none, as the zone says (RFC 2308 5)
    if (i < answers) ttl = Math.min(ttl ?? record.ttl, record.ttl);
    if (i < answers && record.type === SRV) records.push(readSrv(message, record));
    if (i >= answers && records.length === 0 && record.type === SOA) {
      ttl = Math.min(ttl ?? record.ttl, record.ttl, message.readUInt32BE(record.end - 4));
    }
  }
  return { code: flags & 0x0f, isTruncated: (flags & TRUNCATED) !== 0, records, ttl };
}

function encodeName(name: string): Buffer {
  const labels = name.split('.').map((label) => Buffer.from(label, 'latin1'));
  if (labels.some(({ length }) => length === 0 || length > MOST_LABEL)) throw new RangeError('no label of DNS');
  const encoded = Buffer.concat([...labels.flatMap((label) => [Buffer.from([label.length]), label]), Buffer.from([0])]);
  if (encoded.length > MOST_NAME) throw new RangeError('no name of DNS');
  return encoded;
}

/** RFC 4343: letters of ASCII in either case. (Lengths of labels are no letters.) */
function isSameQuestion(a: Buffer, b: Buffer): boolean {
  return a.toString('latin1').toLowerCase() === b.toString('latin1').toLowerCase();
}

interface ResourceRecord {
  readonly type: number;
  readonly ttl: number;
  readonly data: number;
  readonly end: number;
}

function readRecord(message: Buffer, start: number): ResourceRecord {
  const { end: at } = readName(message, start);
  const ttl = message.readUInt32BE(at + 4);
  const data = at + 10;
  const end = data + message.readUInt16BE(at + 8);
  if (end > message.length) throw new RangeError('a record is cut off');
  return { type: message.readUInt16BE(at), ttl: ttl > MOST_TTL ? 0 : ttl, data, end };
}

function readSrv(message: Buffer, { data }: ResourceRecord): SrvRecord {
  const { name } = readName(message, data + 6);
  const [priority, weight, port] = [0, 2, 4].map((i) => message.readUInt16BE(data + i)) as [number, number, number];
  return { name, port, priority, weight };
}

/** RFC 1035 4.1.4. A pointer only leads backwards, so that none leads in a circle. The root is the empty name. */
function readName(message: Buffer, start: number): { readonly name: string; readonly end: number } {
  const labels: string[] = [];
  let at = start;
  let end: number | undefined;
  let limit = start;
  let size = 1;
  for (;;) {
    const length = message.readUInt8(at);
    if (length === 0) return { name: labels.join('.'), end: end ?? at + 1 };
    if (length >= 0xc0) {
      const target = message.readUInt16BE(at) & 0x3fff;
      if (target >= limit) throw new RangeError('a name leads nowhere');
      end ??= at + 2;
      at = target;
      limit = target;
    } else {
      size += length + 1;
      if (length > MOST_LABEL || size > MOST_NAME || at + 1 + length > message.length) {
        throw new RangeError('no name of DNS');
      }
      labels.push(message.toString('latin1', at + 1, at + 1 + length));
      at += length + 1;
    }
  }
}
