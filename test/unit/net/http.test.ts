// Who asks by HTTP: whoever the connection is from, and behind a proxy of this machine whoever that says it is for.
import { Socket } from 'node:net';
import { describe, expect, test } from 'vitest';
import { peerOf } from '../../../src/net/http.ts';

const from = (remoteAddress: string): Socket =>
  Object.defineProperty(new Socket(), 'remoteAddress', { value: remoteAddress });

describe('headers of proxies', () => {
  const headers = { 'x-forwarded-for': '127.0.0.1, 192.0.2.1', 'x-forwarded-proto': 'https' };

  test('a proxy is believed on this machine alone', () => {
    for (const address of ['127.0.0.1', '127.3.2.1', '::1', '::ffff:127.0.0.1'])
      expect(peerOf({ socket: from(address), headers })).toMatchObject({ address: '192.0.2.1', isConfidential: true });
    for (const address of ['198.51.100.7', '10.0.0.1', '::ffff:10.0.0.1', '2001:db8::1', '::1.example', ''])
      expect(peerOf({ socket: from(address), headers })).toEqual({
        address,
        isConfidential: false,
        isProxied: false,
        authority: undefined,
      });
  });

  test('the last address of the list counts, and what is no address does not', () => {
    const asked = (list: string): string =>
      peerOf({ socket: from('::1'), headers: { 'x-forwarded-for': list } }).address;
    expect(asked('203.0.113.9, 192.0.2.1')).toBe('192.0.2.1');
    expect(asked('192.0.2.1, unknown')).toBe('::1');
    expect(asked('')).toBe('::1');
  });
});
