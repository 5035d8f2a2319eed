// DER (X.690), as far as certificates need it: a reader that believes nothing, and a writer.

export const Tag = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  oid: 0x06,
  utf8String: 0x0c,
  sequence: 0x30,
  set: 0x31,
  utcTime: 0x17,
  generalizedTime: 0x18,
} as const;

/** One tagged value. */
export interface Der {
  readonly tag: number;
  readonly content: Buffer;
}

/** @throws RangeError for data that is cut short or no DER */
function readAt(data: Buffer, at: number): { readonly value: Der; readonly end: number } {
  const tag = data.readUInt8(at);
  if ((tag & 0x1f) === 0x1f) throw new RangeError('a tag of many octets');
  let length = data.readUInt8(at + 1);
  let start = at + 2;
  if (length >= 0x80) {
    const octets = length & 0x7f;
    if (octets === 0 || octets > 4) throw new RangeError('a length that DER does not have');
    length = data.readUIntBE(start, octets);
    start += octets;
  }
  if (start + length > data.length) throw new RangeError('cut short');
  return { value: { tag, content: data.subarray(start, start + length) }, end: start + length };
}

/**
 * The first value in some data.
 * @throws RangeError
 */
export function readDer(data: Buffer): Der {
  return readAt(data, 0).value;
}

/**
 * The values within a constructed one.
 * @throws RangeError
 */
export function readAll(data: Buffer): readonly Der[] {
  const values: Der[] = [];
  for (let at = 0; at < data.length; ) {
    const { value, end } = readAt(data, at);
    values.push(value);
    at = end;
  }
  return values;
}

/** The dotted form of an object identifier's content. */
export function readOid(content: Buffer): string {
  const arcs: number[] = [];
  let arc = 0;
  for (const octet of content) {
    arc = arc * 128 + (octet & 0x7f);
    if (octet < 0x80) {
      arcs.push(arc);
      arc = 0;
    }
  }
  const [first = 0, ...others] = arcs;
  const root = Math.min(2, Math.floor(first / 40));
  return [root, first - root * 40, ...others].join('.');
}

export function writeDer(tag: number, ...contents: readonly Buffer[]): Buffer {
  const content = Buffer.concat(contents);
  if (content.length < 0x80) return Buffer.concat([Buffer.from([tag, content.length]), content]);
  const octets: number[] = [];
  for (let rest = content.length; rest > 0; rest = Math.floor(rest / 256)) octets.unshift(rest % 256);
  return Buffer.concat([Buffer.from([tag, 0x80 | octets.length, ...octets]), content]);
}

export function writeOid(dotted: string): Buffer {
  const [root = 0, second = 0, ...others] = dotted.split('.').map(Number);
  const octets = [root * 40 + second, ...others].flatMap((arc) => {
    const groups = [arc % 128];
    for (let rest = Math.floor(arc / 128); rest > 0; rest = Math.floor(rest / 128)) groups.unshift(0x80 | (rest % 128));
    return groups;
  });
  return writeDer(Tag.oid, Buffer.from(octets));
}

/** Octets with nothing left over at their end. */
export function writeBits(data: Buffer, unused = 0): Buffer {
  return writeDer(Tag.bitString, Buffer.from([unused]), data);
}

/** RFC 5280 4.1.2.5: UTCTime through 2049. */
export function writeTime(at: number): Buffer {
  const digits = new Date(at)
    .toISOString()
    .replace(/\.\d+Z$/, 'Z')
    .replace(/[-:T]/g, '');
  return Number(digits.slice(0, 4)) < 2050
    ? writeDer(Tag.utcTime, Buffer.from(digits.slice(2)))
    : writeDer(Tag.generalizedTime, Buffer.from(digits));
}
