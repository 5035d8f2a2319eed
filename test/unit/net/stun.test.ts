import { describe, expect, test } from 'vitest';
import {
  decodeAddress,
  decodeStun,
  encodeAddress,
  encodeStun,
  STUN,
  STUN_ATTRIBUTE,
  stunKey,
  stunLength,
  stunOutcome,
} from '../../../src/net/stun.ts';

// RFC 5769 2.2, 2.3: the test vectors
const transaction = Buffer.from('b7e7a701bc34d686fa87dfae', 'hex');

describe('addresses (RFC 5769 2.2, 2.3)', () => {
  test.each([
    ['192.0.2.1', '0001a147e112a643'],
    ['2001:db8:1234:5678:11:2233:4455:6677', '0002a1470113a9faa5d3f179bc25f4b5bed2b9d9'],
  ])('%s', (address, hex) => {
    expect(encodeAddress({ address, port: 32853 }, transaction).toString('hex')).toBe(hex);
    expect(decodeAddress(Buffer.from(hex, 'hex'), transaction)).toEqual({ address, port: 32853 });
  });

  test.each(['::1', '::', '2001:db8::', '::ffff:192.0.2.1', 'fe80::1:2'])('%s comes back as it was', (address) => {
    expect(decodeAddress(encodeAddress({ address, port: 1 }, transaction), transaction)).toEqual({ address, port: 1 });
  });

  test('what is none is none', () => {
    for (const hex of ['', '0001', '0003a147e112a643', '0001a147e112a6', '0002a147e112a643']) {
      expect(decodeAddress(Buffer.from(hex, 'hex'), transaction)).toBeUndefined();
    }
    expect(() => encodeAddress({ address: 'verona.test', port: 1 }, transaction)).toThrow('is not an address');
  });
});

// RFC 5769 2.4: request with long-term authentication; without its padding of the name, which is ours to choose
test('a message is signed by the key of its realm', () => {
  const key = stunKey('\u30DE\u30C8\u30EA\u30C3\u30AF\u30B9', 'example.org', 'TheMatrIX');
  const id = Buffer.from('78ad3433c6ad72c029da412e', 'hex');
  const bytes = encodeStun(
    STUN.binding,
    [
      [STUN_ATTRIBUTE.username, Buffer.from('\u30DE\u30C8\u30EA\u30C3\u30AF\u30B9')],
      [STUN_ATTRIBUTE.nonce, Buffer.from('f//499k954d6OL34oL9FSTvy64sA')],
      [STUN_ATTRIBUTE.realm, Buffer.from('example.org')],
    ],
    { transaction: id, key },
  );
  const expected =
    '000100602112a44278ad3433c6ad72c029da412e00060012e3839ee38388e383aae38383e382afe382b900000015001c662f2f3439396b39353464364f4c33346f4c394653547679363473410014000b6578616d706c652e6f72670000080014f67024656dd64a3e02b8e0712e85c9a28ca89666';
  expect(bytes.toString('hex')).toBe(expected);
  expect(decodeStun(bytes)?.attributes.get(STUN_ATTRIBUTE.realm)?.toString()).toBe('example.org');
});

test('answers are told from errors, which have their code', () => {
  const answer = (type: number, attributes: [number, Buffer][]) =>
    stunOutcome(decodeStun(encodeStun(type, attributes))!, STUN.allocate);
  expect(answer(0x0103, [])).toBe('success');
  expect(answer(0x0113, [[STUN_ATTRIBUTE.errorCode, Buffer.from([0, 0, 4, 37])]])).toEqual({ code: 437 });
  expect(answer(0x0113, [])).toEqual({ code: 0 });
  expect(answer(0x0101, [])).toBeUndefined();
});

test('what is cut short, or no STUN at all, is none', () => {
  const whole = encodeStun(STUN.binding, [[STUN_ATTRIBUTE.nonce, Buffer.from('12345')]]);
  for (let length = 0; length < whole.length; length++) expect(decodeStun(whole.subarray(0, length))).toBeUndefined();
  expect(stunLength(whole.subarray(0, 19))).toBeUndefined();
  expect(stunLength(whole)).toBe(whole.length);
  expect(() => stunLength(Buffer.from('HTTP/1.1 400 Bad Request'))).toThrow('not STUN');
  const longer = Buffer.from(whole);
  longer.writeUInt16BE(999, 22);
  expect(decodeStun(longer)).toBeUndefined();
});
