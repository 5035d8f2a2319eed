// XEP-0474: SASL SCRAM Downgrade Protection, XEP-0515: TLS Channel-Binding Downgrade Protection.
import { createHash } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { offerProof } from '../../../src/auth/downgrade.ts';
import { challengeOf, exchange, testAccounts, tls12, tls13 } from './kit.ts';

describe('the proof of what was offered (XEP-0474 5.1)', () => {
  test('is that of the example of the specification', () => {
    const proof = offerProof('sha-1', ['SCRAM-SHA-1-PLUS', 'SCRAM-SHA-1'], tls13);
    expect(proof).toBe(',h=G6k/rBLDqgOhRRaCuuatSDFkJ08=,t=0304');
  });

  test.each([
    ['sha-1', 'sha1'],
    ['sha-256', 'sha256'],
    ['sha-512', 'sha512'],
  ] as const)('is hashed as the mechanism hashes: %s', (hash, algorithm) => {
    const text = 'A\x1eB-PLUS\x1ftls-exporter\x1etls-server-end-point';
    const expected = createHash(algorithm).update(text, 'ascii').digest('base64');
    expect(offerProof(hash, ['B-PLUS', 'A'], tls13)).toBe(`,h=${expected},t=0304`);
  });

  test('lists no channel bindings where none were advertised, and no version where there is no TLS (XEP-0515 4.1)', () => {
    const expected = createHash('sha256').update('PLAIN\x1eSCRAM-SHA-256').digest('base64');
    expect(offerProof('sha-256', ['SCRAM-SHA-256', 'PLAIN'], undefined)).toBe(`,h=${expected}`);
  });

  test('is in the order of octets, and names the version of TLS', () => {
    const expected = createHash('sha1').update('Z\x1ea\x1ftls-server-end-point').digest('base64');
    expect(offerProof('sha-1', ['a', 'Z'], tls12)).toBe(`,h=${expected},t=0303`);
  });

  test('stands in the first message of the server, of every SCRAM', async () => {
    const accounts = await testAccounts();
    await accounts.create('user', 'pencil');
    for (const [mechanism, first] of [
      ['SCRAM-SHA-1', 'n,,n=user,r=abc'],
      ['SCRAM-SHA-512-PLUS', 'p=tls-exporter,,n=user,r=abc'],
    ] as const) {
      const offered = ['PLAIN', 'SCRAM-SHA-1', 'SCRAM-SHA-512-PLUS'];
      const running = exchange(accounts, mechanism, { offered });
      const message = challengeOf(await running.step(Buffer.from(first))).toString();
      const algorithm = mechanism === 'SCRAM-SHA-1' ? 'sha1' : 'sha512';
      const text = 'PLAIN\x1eSCRAM-SHA-1\x1eSCRAM-SHA-512-PLUS\x1ftls-exporter\x1etls-server-end-point';
      expect(message).toMatch(/^r=[^,]+,s=[^,]+,i=4096,h=[^,]+,t=0304$/);
      expect(message.split(',')[3]).toBe(`h=${createHash(algorithm).update(text).digest('base64')}`);
    }
  });
});
