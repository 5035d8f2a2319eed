import { describe, expect, test } from 'vitest';
import { announcedBy } from '../../../../src/modules/caps/announced.ts';
import { featuresIn, isOwnValue, ownFeatures, ownValue } from '../../../../src/modules/caps/answer.ts';
import { capabilities } from '../../../../src/modules/caps/known.ts';
import { parseElement } from '../../../../src/xml/document.ts';
import { type Element, el } from '../../../../src/xml/element.ts';
import { caps2Hash, capsVer } from '../../../../src/xmpp/caps.ts';
import { NS } from '../../../../src/xmpp/ns.ts';

const ver = 'QgayPKawpkPSDYmwT/WM94uAlu0=';
const hash = 'kzBZbkqJ3ADrj7v08reD1qcWUwNGHaidNUgD7nHpiw8=';
const read = (xml: string) => announcedBy(parseElement(`<presence>${xml}</presence>`));
const caps = (attrs: Record<string, string>): string => el('c', NS.caps, attrs).toXml();
const caps2 = (...hashes: [algo: string, text: string][]): string =>
  el('c', NS.caps2, undefined, ...hashes.map(([algo, text]) => el('hash', NS.hashes, { algo }, text))).toXml();

describe('what presence announces', () => {
  test('is the hash, and the node to ask for (XEP-0115 4, 6.2)', () => {
    expect(read(caps({ hash: 'sha-1', node: 'urn:x', ver }))).toMatchObject({
      key: `sha-1.${ver}`,
      version: 1,
      node: `urn:x#${ver}`,
      isVerifiable: true,
    });
  });

  test('is the same for clients of other names', () => {
    expect(read(caps({ hash: 'sha-1', node: 'urn:y', ver }))?.key).toBe(`sha-1.${ver}`);
  });

  test('of several hashes is the one that most clients have, whatever their order (XEP-0390 4.2)', () => {
    const both: [string, string][] = [
      ['sha3-256', '79mdYAfU9rEdTOcWDO7UEAt6E56SUzk/g6TnqUeuD9Q='],
      ['sha-256', hash],
    ];
    for (const order of [both, [...both].reverse()]) {
      expect(read(caps2(...order))).toMatchObject({
        key: `2#sha-256.${hash}`,
        version: 2,
        node: `urn:xmpp:caps#sha-256.${hash}`,
      });
    }
  });

  test('by XEP-0390 counts more than by XEP-0115, unless nobody could verify it', () => {
    const old = caps({ hash: 'sha-1', node: 'urn:x', ver });
    expect(read(old + caps2(['sha-256', hash]))?.version).toBe(2);
    expect(read(caps2(['sha-256', hash]) + old)?.version).toBe(2);
    expect(read(caps2(['blake9', hash]) + old)?.version).toBe(1);
    expect(read(caps2(['blake9', hash]))).toMatchObject({ version: 2, isVerifiable: false, node: undefined });
    // XEP-0300 4: SHA-1 is not used there
    expect(read(caps2(['sha-1', ver]))?.isVerifiable).toBe(false);
  });

  test.each([
    ['nothing', ''],
    ['the legacy format', caps({ node: 'urn:x', ver: '0.11', ext: 'a b' })],
    ['the legacy format, looking like a hash', caps({ node: 'urn:x', ver })],
    ['no node', caps({ hash: 'sha-1', ver })],
    ['no hash value', caps({ hash: 'sha-1', node: 'urn:x' })],
    ['a value that is no hash', caps({ hash: 'sha-1', node: 'urn:x', ver: 'not base64 at all' })],
    ['a value that is longer than any hash', caps({ hash: 'sha-1', node: 'urn:x', ver: 'A'.repeat(100) })],
    ['a name that is far too long', caps({ hash: 'sha-1', node: 'x'.repeat(2000), ver })],
    ['an odd function', caps({ hash: 'sha 1\n', node: 'urn:x', ver })],
    ['an empty set', caps2()],
    ['an empty hash', caps2(['sha-256', ''])],
  ])('%s is none', (_, xml) => {
    expect(read(xml)).toBeUndefined();
  });
});

const identity = (attrs: Record<string, string> = {}): Element =>
  el('identity', NS.discoInfo, { category: 'client', type: 'pc', ...attrs });
const feature = (name: string): Element => el('feature', NS.discoInfo, { var: name });
const query = (...children: Element[]): Element => el('query', NS.discoInfo, undefined, ...children);

describe('an answer', () => {
  const answer = query(identity(), feature('a'), feature('urn:x+notify'));

  test('that has the hash proves its features', () => {
    const announced = read(caps({ hash: 'sha-1', node: 'urn:x', ver: capsVer(answer)! }))!;
    expect(featuresIn(answer, announced, undefined)).toEqual(['a', 'urn:x+notify']);
    expect(featuresIn(query(identity(), feature('a')), announced, undefined)).toBeUndefined();
    expect(featuresIn(query(identity(), feature('a'), feature('a')), announced, undefined)).toBeUndefined();
  });

  test('proves no hash of the other specification', () => {
    const announced = read(caps({ hash: 'sha-256', node: 'urn:x', ver: caps2Hash(answer, 'sha-256')! }))!;
    expect(featuresIn(answer, announced, undefined)).toBeUndefined();
  });

  test('is read in the language of its stanza, or of the stream (XEP-0390 4.1)', () => {
    const named = query(identity({ name: 'Ay' }), feature('a'));
    const text = caps2(['sha-256', caps2Hash(named, 'sha-256', 'it')!]);
    const inItalian = announcedBy(parseElement(`<presence xml:lang='it'>${text}</presence>`))!;
    const inNone = read(text)!;
    expect(featuresIn(named, inItalian, undefined)).toEqual(['a']);
    expect(featuresIn(named, inNone, 'it')).toEqual(['a']);
    expect(featuresIn(named, inNone, undefined)).toBeUndefined();
  });

  test('that is huge is refused, whatever it hashes to', () => {
    const many = query(identity(), ...Array.from({ length: 2100 }, (_, i) => feature(`urn:${i}`)));
    const long = query(identity(), feature('x'.repeat(70_000)));
    for (const one of [many, long]) {
      expect(
        featuresIn(one, read(caps({ hash: 'sha-1', node: 'urn:x', ver: capsVer(one)! }))!, undefined),
      ).toBeUndefined();
    }
  });

  test('of another kind is refused', () => {
    const announced = read(caps({ hash: 'md6', node: 'urn:x', ver }))!;
    expect(featuresIn(el('query', NS.discoItems), announced, undefined)).toBeUndefined();
    expect(featuresIn(answer, announced, undefined)).toEqual(['a', 'urn:x+notify']);
  });
});

describe('what nobody can verify', () => {
  test('is written down for one alone', () => {
    const value = ownValue('md6.abc', ['a', 'b+notify', 'odd\nfeature'])!;
    expect(ownFeatures(value)).toEqual(['a', 'b+notify']);
    expect(isOwnValue(value, 'md6.abc')).toBe(true);
    expect(isOwnValue(value, 'md6.ab')).toBe(false);
    expect(ownFeatures(ownValue('md6.abc', [])!)).toEqual([]);
    expect(isOwnValue(ownValue('md6.abc', [])!, 'md6.abc')).toBe(true);
  });

  test('is not, where it is too long for the directory', () => {
    expect(ownValue('md6.abc', ['x'.repeat(5000)])).toBeUndefined();
  });

  test('a hash is no such value', () => {
    expect(ownFeatures(`sha-1.${ver}`)).toBeUndefined();
    expect(isOwnValue(`sha-1.${ver}`, `sha-1.${ver}`)).toBe(false);
  });
});

test('the nodes that are asked for are those with +notify (XEP-0163 4.2)', () => {
  const { wants } = capabilities('k', ['urn:x+notify', 'urn:y', '+notify', 'urn:z+notify+notify']);
  expect([...wants]).toEqual(['urn:x', 'urn:z+notify']);
});
