// The local authority and its certificates, and the names in certificates (RFC 9525).
import { createHash, createPrivateKey, X509Certificate } from 'node:crypto';
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { silent } from '../../../src/base/log.ts';
import { certificateDomain, certificateNames, coversDomain, endPointHash } from '../../../src/net/cert-names.ts';
import { createLocalAuthority } from '../../../src/net/certs.ts';
import { readOid, Tag, writeDer, writeOid, writeTime } from '../../../src/net/der.ts';
import { TestAuthority } from '../../kit/certificates.ts';
import { FakeClock } from '../../kit/clock.ts';

const DAY = 24 * 60 * 60_000;

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'parley certs '));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const authority = (clock = new FakeClock()): ReturnType<typeof createLocalAuthority> =>
  createLocalAuthority(join(folder, 'local'), clock, silent);

describe('the local authority', () => {
  test('signs a certificate for a host and its services, which its root vouches for', async () => {
    const ca = authority();
    const { certificate, key, file } = await ca.issue('example.org', ['groups.example.org', 'upload.example.org']);
    const leaf = new X509Certificate(certificate);
    const root = new X509Certificate(await ca.certificate());
    expect(leaf.checkIssued(root) && leaf.verify(root.publicKey)).toBe(true);
    expect(root.ca).toBe(true);
    expect(leaf.ca).toBe(false);
    expect(leaf.checkPrivateKey(createPrivateKey(key))).toBe(true);
    expect(leaf.publicKey.asymmetricKeyDetails?.namedCurve).toBe('prime256v1');
    expect(certificateNames(leaf.raw).dns).toEqual(['example.org', 'groups.example.org', 'upload.example.org']);
    expect(leaf.checkHost('groups.example.org')).toBe('groups.example.org');
    expect(file).toBe(join(folder, 'local', 'example.org.crt'));
    const days = (Date.parse(leaf.validTo) - Date.parse(leaf.validFrom)) / DAY;
    expect(days).toBeLessThanOrEqual(825);
    expect(endPointHash(leaf.raw)).toBe('sha256');
  });

  test('writes names as A-labels, and addresses for localhost', async () => {
    const ca = authority();
    const leaf = new X509Certificate((await ca.issue('bücher.example')).certificate);
    expect(leaf.subjectAltName).toBe('DNS:xn--bcher-kva.example');
    const local = new X509Certificate((await ca.issue('localhost')).certificate);
    expect(local.checkHost('localhost')).toBe('localhost');
    expect(local.checkIP('127.0.0.1')).toBe('127.0.0.1');
    expect(local.checkIP('::1')).toBe('::1');
    const address = new X509Certificate((await ca.issue('[2001:db8::7]')).certificate);
    expect(address.checkIP('2001:db8::7')).toBe('2001:db8::7');
  });

  test('keeps keys to itself, and leaves nothing behind', async () => {
    await authority().issue('example.org');
    const files = (await readdir(join(folder, 'local'))).sort();
    expect(files).toEqual(['ca.crt', 'ca.key', 'example.org.crt', 'example.org.key']);
    for (const file of files.filter((name) => name.endsWith('.key'))) {
      expect((await stat(join(folder, 'local', file))).mode & 0o777).toBe(0o600);
    }
  });

  test('uses again what it made before', async () => {
    const first = await authority().issue('example.org');
    const again = authority();
    expect(await again.issue('example.org')).toEqual(first);
    expect(await again.certificate()).toBe(await authority().certificate());
  });

  test('makes one root and one key when several start at the same time', async () => {
    const all = await Promise.all(
      Array.from({ length: 6 }, async () => {
        const ca = authority();
        const { certificate, key } = await ca.issue('example.org');
        const root = new X509Certificate(await ca.certificate());
        expect(new X509Certificate(certificate).verify(root.publicKey)).toBe(true);
        return { key, root: root.fingerprint256 };
      }),
    );
    expect(new Set(all.map(({ key }) => key)).size).toBe(1);
    expect(new Set(all.map(({ root }) => root)).size).toBe(1);
  });

  test('makes a certificate anew when it is about to end, or its names change, with the same key', async () => {
    const clock = new FakeClock();
    const ca = authority(clock);
    const first = await ca.issue('example.org');
    await clock.advance(700 * DAY);
    expect(await ca.issue('example.org')).toEqual(first);
    await clock.advance(70 * DAY);
    const renewed = await ca.issue('example.org');
    expect(renewed.certificate).not.toBe(first.certificate);
    expect(renewed.key).toBe(first.key);
    expect(Date.parse(new X509Certificate(renewed.certificate).validTo)).toBeGreaterThan(clock.now() + 800 * DAY);
    const more = await ca.issue('example.org', ['groups.example.org']);
    expect(certificateNames(new X509Certificate(more.certificate).raw).dns).toContain('groups.example.org');
    expect(await ca.issue('example.org', ['groups.example.org'])).toEqual(more);
  });

  test('renews its root in time, with the same key: what it signed stays good', async () => {
    const clock = new FakeClock();
    const { certificate } = await authority(clock).issue('example.org');
    const before = await authority(clock).certificate();
    await clock.advance(3000 * DAY);
    const after = await authority(clock).certificate();
    expect(after).not.toBe(before);
    const leaf = new X509Certificate(certificate);
    expect(leaf.checkIssued(new X509Certificate(after))).toBe(true);
    expect(leaf.verify(new X509Certificate(after).publicKey)).toBe(true);
  });

  test('gets over files that are broken', async () => {
    await authority().issue('example.org');
    await writeFile(join(folder, 'local', 'example.org.key'), 'rubbish');
    await writeFile(join(folder, 'local', 'ca.crt'), '');
    const ca = authority();
    const { certificate, key } = await ca.issue('example.org');
    const leaf = new X509Certificate(certificate);
    expect(leaf.checkPrivateKey(createPrivateKey(key))).toBe(true);
    expect(leaf.verify(new X509Certificate(await ca.certificate()).publicKey)).toBe(true);
    expect(await readFile(join(folder, 'local', 'example.org.key'), 'utf8')).toBe(key);
  });

  test('works in memory', async () => {
    const ca = createLocalAuthority(undefined, new FakeClock(), silent);
    const first = await ca.issue('example.org');
    expect(first.file).toBeUndefined();
    expect(await ca.issue('example.org')).toEqual(first);
  });
});

describe('names in certificates', () => {
  const names = (dns: readonly string[], more: Partial<ReturnType<typeof certificateNames>> = {}) => ({
    dns,
    ip: [],
    xmppAddr: [],
    srv: [],
    ...more,
  });

  test('cover a domain exactly, or by a wildcard for one label (RFC 9525 6.3)', () => {
    const certificate = names(['example.org', '*.example.net']);
    expect(coversDomain(certificate, 'example.org')).toBe(true);
    expect(coversDomain(certificate, 'EXAMPLE.org')).toBe(true);
    expect(coversDomain(certificate, 'a.example.org')).toBe(false);
    expect(coversDomain(certificate, 'a.example.net')).toBe(true);
    expect(coversDomain(certificate, 'a.b.example.net')).toBe(false);
    expect(coversDomain(certificate, 'example.net')).toBe(false);
    expect(coversDomain(names(['*']), 'localhost')).toBe(false);
    expect(coversDomain(names(['a*.example.net']), 'ab.example.net')).toBe(false);
    expect(coversDomain(names(['xn--bcher-kva.example']), 'bücher.example')).toBe(true);
  });

  test('cover a domain by xmppAddr, and by SRVName for the service it names', () => {
    const certificate = names([], { xmppAddr: ['bücher.example'], srv: ['_xmpp-server.example.org'] });
    expect(coversDomain(certificate, 'bücher.example')).toBe(true);
    expect(coversDomain(certificate, 'example.org')).toBe(true);
    expect(coversDomain(certificate, 'example.org', 'xmpp-server')).toBe(true);
    expect(coversDomain(certificate, 'example.org', 'xmpp-client')).toBe(false);
    expect(coversDomain(names([], { srv: ['_sip.example.org'] }), 'example.org')).toBe(false);
  });

  test('cover addresses by addresses only', () => {
    expect(coversDomain(names([], { ip: ['127.0.0.1'] }), '127.0.0.1')).toBe(true);
    expect(coversDomain(names(['127.0.0.1', '*.0.0.1']), '127.0.0.1')).toBe(false);
    expect(certificateDomain('[::1]')).toBe('0:0:0:0:0:0:0:1');
    expect(certificateDomain('::ffff:192.0.2.1')).toBe('0:0:0:0:0:ffff:c000:201');
  });

  test('are read from the certificate, the common name not among them', () => {
    const { certificate } = new TestAuthority().issue({ names: ['Example.org', '192.0.2.1', '2001:db8::1'] });
    expect(certificateNames(new X509Certificate(certificate).raw)).toEqual({
      dns: ['example.org'],
      ip: ['192.0.2.1', '2001:db8:0:0:0:0:0:1'],
      xmppAddr: [],
      srv: [],
    });
  });

  test('are read in the forms that only XMPP uses', () => {
    const otherName = (oid: string, text: string): Buffer =>
      writeDer(0xa0, writeOid(oid), writeDer(0xa0, writeDer(Tag.utf8String, Buffer.from(text))));
    const san = writeDer(
      Tag.sequence,
      otherName('1.3.6.1.5.5.7.8.5', 'bücher.example'),
      otherName('1.3.6.1.5.5.7.8.7', '_xmpp-Client.example.org'),
      otherName('1.3.6.1.4.1.311.20.2.3', 'somebody@example.org'),
    );
    const extension = writeDer(Tag.sequence, writeOid('2.5.29.17'), writeDer(Tag.octetString, san));
    const tbs = writeDer(Tag.sequence, writeDer(0xa3, writeDer(Tag.sequence, extension)));
    expect(certificateNames(writeDer(Tag.sequence, tbs))).toEqual({
      dns: [],
      ip: [],
      xmppAddr: ['bücher.example'],
      srv: ['_xmpp-client.example.org'],
    });
  });

  test('of a peer may be anything: nothing but a RangeError comes of it', () => {
    const { raw } = new X509Certificate(new TestAuthority().issue({ names: ['example.org', '192.0.2.1'] }).certificate);
    fc.assert(
      fc.property(fc.nat(raw.length - 1), fc.nat(255), (at, octet) => {
        const changed = Buffer.from(raw);
        changed[at] = octet;
        try {
          coversDomain(certificateNames(changed), 'example.org');
          endPointHash(changed);
        } catch (error) {
          expect(error).toBeInstanceOf(RangeError);
        }
      }),
      { numRuns: 2000 },
    );
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (name) => {
        coversDomain(names([name], { xmppAddr: [name], srv: [`_xmpp-server.${name}`] }), 'example.org');
      }),
    );
    expect(coversDomain(names([], { xmppAddr: ['fe80::1%eth0', '[fe80::1%25eth0]'] }), 'example.org')).toBe(false);
  });

  test('that are cut short are refused', () => {
    const { raw } = new X509Certificate(new TestAuthority().issue({ names: ['example.org'] }).certificate);
    for (const cut of [1, 100, raw.length - 3]) {
      expect(() => certificateNames(raw.subarray(0, cut))).toThrow(RangeError);
    }
  });
});

describe('the hash for tls-server-end-point (RFC 5929 4.1)', () => {
  const signedWith = (...algorithm: Buffer[]): string | undefined =>
    endPointHash(writeDer(Tag.sequence, writeDer(Tag.sequence), writeDer(Tag.sequence, ...algorithm)));

  test.each([
    ['1.2.840.113549.1.1.4', 'sha256'],
    ['1.2.840.113549.1.1.5', 'sha256'],
    ['1.2.840.113549.1.1.11', 'sha256'],
    ['1.2.840.113549.1.1.12', 'sha384'],
    ['1.2.840.113549.1.1.13', 'sha512'],
    ['1.2.840.10045.4.1', 'sha256'],
    ['1.2.840.10045.4.3.2', 'sha256'],
    ['1.2.840.10045.4.3.3', 'sha384'],
    ['1.2.840.10045.4.3.4', 'sha512'],
    // Ed25519, Ed448: no one hash function
    ['1.3.101.112', undefined],
    ['1.3.101.113', undefined],
    ['1.2.3.4', undefined],
  ])('for %s is %s', (oid, hash) => {
    expect(signedWith(writeOid(oid))).toBe(hash);
  });

  test('is in the parameters of RSASSA-PSS', () => {
    const parameters = (oid: string): Buffer =>
      writeDer(Tag.sequence, writeDer(0xa0, writeDer(Tag.sequence, writeOid(oid))));
    const pss = writeOid('1.2.840.113549.1.1.10');
    expect(signedWith(pss, parameters('2.16.840.1.101.3.4.2.2'))).toBe('sha384');
    // SHA-1 unless they say otherwise
    expect(signedWith(pss, writeDer(Tag.sequence))).toBe('sha256');
  });
});

describe('DER', () => {
  test('writes long values, identifiers and times as they are to be', () => {
    const long = writeDer(Tag.octetString, Buffer.alloc(300));
    expect(long.subarray(0, 4)).toEqual(Buffer.from([0x04, 0x82, 0x01, 0x2c]));
    expect(writeOid('1.2.840.113549').toString('hex')).toBe('06062a864886f70d');
    for (const oid of ['2.5.29.17', '1.3.6.1.5.5.7.8.5', '2.16.840.1.101.3.4.2.1', '2.999.3']) {
      expect(readOid(writeOid(oid).subarray(2))).toBe(oid);
    }
    // RFC 5280 4.1.2.5
    expect(writeTime(Date.UTC(2049, 11, 31, 23, 59, 59)).toString('latin1', 2)).toBe('491231235959Z');
    expect(writeTime(Date.UTC(2050, 0, 1)).toString('latin1', 2)).toBe('20500101000000Z');
  });

  test('of ours is what node:crypto signs and reads', () => {
    const root = new TestAuthority('Root', undefined, 'ed25519');
    const { certificate } = root.issue({ names: ['example.org'] });
    const leaf = new X509Certificate(certificate);
    expect(leaf.verify(new X509Certificate(root.certificate).publicKey)).toBe(true);
    expect(leaf.fingerprint256.replace(/:/g, '').toLowerCase()).toBe(
      createHash('sha256').update(leaf.raw).digest('hex'),
    );
    expect(endPointHash(leaf.raw)).toBeUndefined();
  });
});
