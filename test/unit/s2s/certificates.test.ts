// Certificates of other servers: chains, and names (RFC 9525).
import { X509Certificate } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { coversDomain } from '../../../src/net/cert-names.ts';
import { Trust } from '../../../src/net/trust.ts';
import { judgeCertificate } from '../../../src/s2s/certificates.ts';
import { TestAuthority } from '../../kit/certificates.ts';

const DAY = 24 * 60 * 60_000;
const folder = mkdtempSync(join(tmpdir(), 'parley trust '));
afterAll(() => rmSync(folder, { recursive: true }));

const root = new TestAuthority('Test root');
const intermediate = new TestAuthority('Test intermediate', root);
const stranger = new TestAuthority('Somebody else');
const impostor = new TestAuthority('Test root');
const file = join(folder, 'ca.pem');
writeFileSync(file, root.certificate);
const trust = new Trust([file]);

const der = (pem: string): Buffer => new X509Certificate(pem).raw;
const now = Date.now();

function judge(chain: readonly string[], domain: string, at = now): string {
  const verdict = judgeCertificate(chain.map(der), domain, trust, at);
  return verdict.isValid ? 'valid' : verdict.why;
}

describe('chains', () => {
  const { certificate } = root.issue({ names: ['example.org'] });
  const below = intermediate.issue({ names: ['example.org'] }).certificate;

  test('lead to an authority that is trusted, through others that are shown', () => {
    expect(judge([certificate], 'example.org')).toBe('valid');
    expect(judge([below, intermediate.certificate], 'example.org')).toBe('valid');
    expect(judge([below, stranger.certificate, root.certificate, intermediate.certificate], 'example.org')).toBe(
      'valid',
    );
  });

  test('are broken where one is missing, unknown, or only named like a known one', () => {
    const unknown = 'its certificate does not lead to an authority that is trusted here';
    expect(judge([below], 'example.org')).toBe(unknown);
    expect(judge([stranger.issue({ names: ['example.org'] }).certificate, stranger.certificate], 'example.org')).toBe(
      unknown,
    );
    expect(judge([impostor.issue({ names: ['example.org'] }).certificate, impostor.certificate], 'example.org')).toBe(
      unknown,
    );
  });

  test('do not lead through certificates that may not issue any', () => {
    const leaf = root.issue({ names: ['evil.example'] });
    const forged = new TestAuthority('leaf', undefined);
    const below = forged.issue({ names: ['example.org'] }).certificate;
    expect(judge([below, leaf.certificate], 'example.org')).toContain('does not lead to');
  });

  test('end by their dates', () => {
    expect(judge([certificate], 'example.org', now + 91 * DAY)).toContain('has expired');
    expect(judge([certificate], 'example.org', now - 2 * DAY)).toContain('not valid yet');
    const long = root.issue({ names: ['example.org'], notAfter: now + 5000 * DAY }).certificate;
    expect(judge([long], 'example.org', now + 2000 * DAY)).toContain('has expired');
  });

  test('of nothing, and of rubbish, are told as what they are', () => {
    expect(judge([], 'example.org')).toBe('it showed no certificate');
    expect(judgeCertificate([Buffer.from('rubbish')], 'example.org', trust, now)).toMatchObject({ isValid: false });
  });

  test('a certificate that signs itself is trusted only when it was named', () => {
    expect(judge([stranger.certificate], 'example.org')).toContain('signed by itself');
  });
});

describe('names', () => {
  const shown = (...names: string[]): string => root.issue({ names }).certificate;

  test('match as RFC 9525 has them', () => {
    expect(judge([shown('Example.ORG')], 'example.org')).toBe('valid');
    expect(judge([shown('*.example.org')], 'chat.example.org')).toBe('valid');
    expect(judge([shown('xn--bcher-kva.example')], 'bücher.example')).toBe('valid');
    expect(judge([shown('127.0.0.1')], '127.0.0.1')).toBe('valid');
    expect(judge([shown('*.example.org')], 'a.b.example.org')).toContain('not for a.b.example.org');
    expect(judge([shown('*.example.org')], 'example.org')).toContain('is for *.example.org, not for example.org');
  });

  test('of no other domain do', () => {
    expect(judge([shown('example.net')], 'example.org')).toBe(
      'its certificate is for example.net, not for example.org',
    );
    // what only begins as the domain does is another address (RFC 6120 13.7.1.4)
    for (const xmppAddr of [
      'romeo@example.org',
      'example.org/balcony',
      'example.org#',
      'example.org?',
      'ex%61mple.org',
    ]) {
      expect(coversDomain({ dns: [], ip: [], xmppAddr: [xmppAddr], srv: [] }, 'example.org')).toBe(false);
    }
    // the Common Name says "leaf"
    expect(judge([shown()], 'leaf')).toBe('its certificate is for no domain at all, not for leaf');
  });
});
