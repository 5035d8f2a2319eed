// The wire form between nodes: what is written is read again, whatever it holds; what is not known is passed over.
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Frame, NodeId } from '../../../../src/cluster/cluster.ts';
import {
  type Content,
  readBatch,
  readItems,
  writeBatch,
  writeCall,
  writeFailure,
  writeFrame,
  writeReply,
  writeTopic,
} from '../../../../src/cluster/redis/frames.ts';

const node = 'host-1:Xb3k9aQ2' as NodeId;

function read(items: string): { readonly contents: Content[]; readonly bad: unknown[] } {
  const contents: Content[] = [];
  const bad: unknown[] = [];
  readItems(
    items,
    (content) => contents.push(content),
    (err) => bad.push(err),
  );
  return { contents, bad };
}

const text = fc.string({ unit: 'grapheme' });
const name = fc.stringMatching(/^[^\t\n\0]{0,20}$/);
const addressees = fc.array(fc.record({ jid: name, sid: fc.stringMatching(/^[A-Za-z0-9_.:-]{1,20}$/) }));
const holders = fc.record({ home: name, id: fc.nat(), to: fc.array(name), copied: fc.array(name) });
const kind = fc.constantFrom('deliver' as const, 'undelivered' as const);
const frames: fc.Arbitrary<Frame> = fc.oneof(
  fc.record({ kind, to: addressees, xml: text }),
  fc.record({ kind, to: addressees, xml: text, had: holders }),
  fc.record({ kind, to: addressees, xml: text, each: fc.nat() }),
);
const body = fc.oneof(fc.jsonValue(), fc.constant(undefined)).map((value) => {
  // (JSON knows no negative zero)
  return value === undefined ? undefined : (JSON.parse(JSON.stringify(value)) as unknown);
});
const items: fc.Arbitrary<readonly [string, Content]> = fc.oneof(
  frames.map((frame) => [writeFrame(frame), { kind: 'frame', frame }] as const),
  fc.tuple(name, body).map(([topic, said]) => [writeTopic(topic, said), { kind: 'topic', topic, body: said }] as const),
  fc
    .tuple(fc.nat(), name, body)
    .map(([id, method, said]) => [writeCall(id, method, said), { kind: 'call', id, method, body: said }] as const),
  fc.tuple(fc.nat(), body).map(([id, said]) => [writeReply(id, said), { kind: 'reply', id, body: said }] as const),
  fc
    .tuple(fc.nat(), text)
    .map(([id, message]) => [writeFailure(id, message), { kind: 'failure', id, message }] as const),
);

describe('a batch', () => {
  test('is read as it was written', () => {
    fc.assert(
      fc.property(fc.array(items), fc.integer({ min: 1 }), (list, number) => {
        const batch = readBatch(writeBatch(node, number, list.map(([written]) => written).join('')));
        expect([batch.from, batch.number]).toEqual([node, number]);
        const { contents, bad } = read(batch.items);
        expect(contents).toEqual(list.map(([, content]) => content));
        expect(bad).toEqual([]);
      }),
    );
  });

  test('may hold kinds of items, and parts of them, that a later release has added', () => {
    const known = writeTopic('news', 1);
    const unknown = 'z3,4;abcdefg';
    const longer = known.replace(/^t([\d,]+);(.*)$/, 't$1,5;$2later');
    expect(read(unknown + longer + known).contents).toEqual([
      { kind: 'topic', topic: 'news', body: 1 },
      { kind: 'topic', topic: 'news', body: 1 },
    ]);
  });

  test('of a later version of the form is refused, and so is what is none', () => {
    for (const wrong of [
      '2 host-1:a 1\nt1,1;a1',
      '',
      '1',
      '1 \n',
      '1 host-1:a 0\n',
      '1 host-1:a x\n',
      'hello\nt1,1;a1',
    ]) {
      expect(() => readBatch(wrong)).toThrow('not a batch');
    }
  });

  test('that is cut off is refused behind what is whole', () => {
    const whole = writeTopic('news', 1);
    for (let cut = 1; cut < whole.length; cut++) {
      const heard: Content[] = [];
      const items = whole + whole.slice(0, cut);
      const tryIt = (): void =>
        readItems(
          items,
          (content) => heard.push(content),
          () => {},
        );
      expect(tryIt).toThrow('cut off');
      expect(heard).toHaveLength(1);
    }
  });

  test('with a body that is no JSON loses only that item', () => {
    const { contents, bad } = read(`t1,3;a{x}${writeTopic('b', 2)}`);
    expect(contents).toEqual([{ kind: 'topic', topic: 'b', body: 2 }]);
    expect(bad).toHaveLength(1);
  });
});
