import fc from 'fast-check';
import { expect, test } from 'vitest';
import { FrameReader, framesOf } from '../../../bench/load/websocket.ts';

/** What a server writes: as a client does, without the mask. */
function unmasked(frames: Buffer): Buffer {
  const parts: Buffer[] = [];
  for (let at = 0; at < frames.length; ) {
    const short = frames[at + 1]! & 0x7f;
    const extended = short < 126 ? 0 : short === 126 ? 2 : 8;
    const length =
      short < 126 ? short : extended === 2 ? frames.readUInt16BE(at + 2) : Number(frames.readBigUInt64BE(at + 2));
    parts.push(Buffer.from([frames[at]!, short]), frames.subarray(at + 2, at + 2 + extended));
    const start = at + 2 + extended + 4;
    parts.push(frames.subarray(start, start + length));
    at = start + length;
  }
  return Buffer.concat(parts);
}

test('every element goes out in a frame of its own and comes in as it was, wherever chunks end', () => {
  const sizes = fc.array(fc.integer({ min: 0, max: 70_000 }), { minLength: 1, maxLength: 4 });
  fc.assert(
    fc.property(sizes, fc.array(fc.nat(100_000)), (bodies, cuts) => {
      const xml = `${bodies.map((n) => `<message to='a@b'><body>${'x'.repeat(n)}</body></message>`).join('')}<r xmlns='s'/>`;
      const sent = unmasked(framesOf(xml));
      const reader = new FrameReader();
      let heard = '';
      const edges = [0, ...cuts.filter((cut) => cut < sent.length).sort((a, b) => a - b), sent.length];
      for (let i = 1; i < edges.length; i++) {
        heard += reader.feed(sent.subarray(edges[i - 1], edges[i]), () => undefined).toString('latin1');
      }
      expect(heard).toBe(xml.replaceAll('<message', "<message xmlns='jabber:client'"));
    }),
    { numRuns: 30 },
  );
});

test('a ping is answered with what it said', () => {
  const replies: Buffer[] = [];
  new FrameReader().feed(Buffer.from([0x89, 2, 0x68, 0x69]), (frame) => replies.push(frame));
  expect(replies).toEqual([Buffer.from([0x8a, 0x82, 0, 0, 0, 0, 0x68, 0x69])]);
});
