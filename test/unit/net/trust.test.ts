import { X509Certificate } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { certificateLimits } from '../../../src/net/cert-limits.ts';
import { Trust } from '../../../src/net/trust.ts';
import { judgeCertificate } from '../../../src/s2s/certificates.ts';
import { oddCertificates } from '../../kit/odd-certificates.ts';

type Name = keyof typeof oddCertificates;

const folder = mkdtempSync(join(tmpdir(), 'parley trust '));
afterAll(() => rmSync(folder, { recursive: true }));
const file = join(folder, 'root.pem');
writeFileSync(file, `some text before it\n${oddCertificates.root}`);
const trust = new Trust([file]);
const now = Date.UTC(2030, 0, 1);

const chain = (...names: readonly Name[]): Buffer[] =>
  names.map((name) => new X509Certificate(oddCertificates[name]).raw);
const verify = (...names: readonly Name[]) => trust.verify(chain(...names), now);

test.each<[string, readonly Name[], string | undefined]>([
  ['a certificate for servers only speaks for a server that connects', ['serverOnly'], undefined],
  ['one for other uses does not', ['codeOnly'], 'not for servers'],
  ['an extension that must be understood, and is not, is a reason to refuse', ['strange'], 'not acceptable'],
  ['signatures by SHA-1 are not believed', ['sha1'], 'too weak'],
  ['short keys are not believed', ['rsa1024'], 'too weak'],
  [
    'whoever is no authority issues nothing, even with the right to sign',
    ['byNoAuthority', 'noAuthority'],
    'unknown authority',
  ],
  ['an authority below one is fine', ['shortEnough', 'short'], undefined],
  ['an authority that may have none below it has none', ['tooDeep', 'below', 'short'], 'not acceptable'],
  ['names that an authority may speak for', ['inside', 'limited'], undefined],
  ['names that it may not speak for', ['outside', 'limited'], 'not acceptable'],
  ['names that are excluded', ['excluded', 'limited'], 'not acceptable'],
  ['names of XMPP are no way around that', ['wayAround', 'limited'], 'not acceptable'],
  ['addresses that it may speak for', ['addressInside', 'limited'], undefined],
  ['addresses that it may not speak for', ['addressOutside', 'limited'], 'not acceptable'],
  ['a chain that says everything twice', ['inside', 'inside', 'limited', 'root', 'limited'], undefined],
  ['an authority that is trusted, shown as a server', ['root'], undefined],
])('%s', (_, names, problem) => {
  expect(verify(...names)).toBe(problem);
});

describe('names of XMPP', () => {
  test('count as those of DNS do', () => {
    const says = (domain: string): boolean => judgeCertificate(chain('xmpp'), domain, trust, now).isValid;
    expect(says('xmpp.example')).toBe(true);
    expect(says('srv.example')).toBe(true);
    expect(says('client.example')).toBe(false);
    expect(says('xmpp')).toBe(false);
  });
});

describe('authorities', () => {
  test('of the system are trusted too', () => {
    expect(() => new Trust([]).load()).not.toThrow();
    expect(new Trust([]).verify(chain('serverOnly'), now)).toBe('unknown authority');
  });

  test('in a file that is not there are told as such', () => {
    expect(() => new Trust([join(folder, 'none.pem')]).load()).toThrow('none.pem');
  });
});

test('a wildcard is no way around names that are excluded', () => {
  const { permits } = certificateLimits(chain('limited')[0]!);
  const names = (dns: string) => ({ dns: [dns], ip: [], xmppAddr: [], srv: [] });
  expect(permits(names('*.example.org'))).toBe(false);
  expect(permits(names('*.bad.example.org'))).toBe(false);
  expect(permits(names('*.good.example.org'))).toBe(true);
  expect(permits(names('good.example.org'))).toBe(true);
});

test('keys of a kind that nobody knows are an answer, no accident', () => {
  const unknown = (der: Buffer): Buffer => {
    // the name of the curve P-256
    const at = der.indexOf(Buffer.from('06082a8648ce3d030107', 'hex'));
    const copy = Buffer.from(der);
    copy[at + 9] = 0x77;
    return copy;
  };
  const [leaf, issuer] = chain('inside', 'limited');
  expect(() => new X509Certificate(unknown(leaf!)).publicKey).toThrow();
  expect(trust.verify([unknown(leaf!), issuer!], now)).toBe('not acceptable');
  expect(trust.verify([leaf!, unknown(issuer!)], now)).toBe('unknown authority');
});

test('a chain is judged once a minute, not once for each name', () => {
  const one = chain('serverOnly');
  expect(trust.verify(one, now)).toBeUndefined();
  one[0] = chain('codeOnly')[0]!;
  expect(trust.verify(one, now + 59_000)).toBeUndefined();
  expect(trust.verify(one, now + 60_000)).toBe('not for servers');
});

test('chains that go in circles, and long ones, cost no time', () => {
  const begin = performance.now();
  const many = Array.from({ length: 200 }, () => new X509Certificate(oddCertificates.below).raw);
  expect(trust.verify([...chain('tooDeep'), ...many], now)).toBe('unknown authority');
  expect(performance.now() - begin).toBeLessThan(1_000);
});
