// TLS for XMPP (RFC 7590), direct too (XEP-0368), and what binds to its channel (RFC 5929, RFC 9266).
import { createHash, generateKeyPairSync, X509Certificate } from 'node:crypto';
import { chmod, mkdir, mkdtemp, rename, rm, symlink, unlink, utimes, writeFile } from 'node:fs/promises';
import { createServer as createHttpsServer, get } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { systemClock } from '../../../src/base/clock.ts';
import { type Logger, silent } from '../../../src/base/log.ts';
import { createTlsContexts, type TlsContexts, type TlsContextsOptions } from '../../../src/net/tls.ts';
import { type Handshake, HandshakeServer, TestAuthority, type TestCertificate } from '../../kit/certificates.ts';

const DAY = 24 * 60 * 60_000;
const root = new TestAuthority();

let folder: string;
const open: { close(): Promise<void> }[] = [];
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'parley tls '));
});
afterEach(async () => {
  for (const one of open.splice(0)) await one.close();
  await rm(folder, { recursive: true, force: true });
});

/** A logger that keeps its warnings: file name and text. */
function warnings(): { readonly log: Logger; readonly lines: string[] } {
  const lines: string[] = [];
  const log: Logger = {
    ...silent,
    warn: (fields, text) => {
      const { file = '' } = fields as { file?: string };
      lines.push(`${file.slice(folder.length + '/certs/'.length)}: ${text}`);
    },
    child: () => log,
  };
  return { log, lines };
}

async function contexts(options: Partial<TlsContextsOptions> = {}): Promise<TlsContexts> {
  const made = await createTlsContexts({
    hosts: [{ domain: 'example.org', services: ['groups.example.org'] }, { domain: 'example.net' }],
    certificates: join(folder, 'certs'),
    local: undefined,
    log: silent,
    clock: systemClock,
    ...options,
  });
  open.push(made);
  return made;
}

async function serve(tls: TlsContexts, options = {}): Promise<HandshakeServer> {
  const server = await HandshakeServer.start(tls, options);
  open.push(server);
  return server;
}

async function put(files: Readonly<Record<string, string>>): Promise<void> {
  for (const [name, text] of Object.entries(files)) {
    const path = join(folder, 'certs', name);
    await mkdir(dirname(path), { recursive: true });
    // as certificate tools do it
    await writeFile(`${path}.tmp`, text);
    await rename(`${path}.tmp`, path);
  }
}

const pem = ({ certificate, key }: TestCertificate): string => certificate + key;
const namesOf = (handshake: Handshake): string => new X509Certificate(handshake.shown).subjectAltName ?? '';
const rawOf = (certificate: string): Buffer => new X509Certificate(certificate).raw;

async function until(what: () => boolean): Promise<void> {
  for (let i = 0; i < 500 && !what(); i++) await new Promise((resolve) => setTimeout(resolve, 10));
  expect(what()).toBe(true);
}

describe('a handshake', () => {
  test('succeeds with a client that trusts the local authority, for every host and service', async () => {
    const tls = await contexts();
    const ca = await tls.localAuthority();
    const server = await serve(tls);
    for (const servername of ['example.org', 'groups.example.org', 'example.net']) {
      const { shown, client } = await server.connect({ ca, servername });
      expect(client.authorized).toBe(true);
      expect(shown).toEqual(tls.certificateFor(servername)?.raw);
    }
    expect(tls.certificateFor('example.org')).toMatchObject({ source: 'local', file: undefined });
    expect(tls.certificateFor('elsewhere.example')).toBeUndefined();
    expect(tls.contextFor('elsewhere.example')).toBeUndefined();
  });

  test('shows the first host to those who name none, or none of ours; with STARTTLS the stream’s', async () => {
    const tls = await contexts();
    const server = await serve(tls);
    expect(namesOf(await server.connect())).toContain('example.org');
    expect(namesOf(await server.connect({ servername: 'elsewhere.example' }))).toContain('example.org');
    expect(namesOf(await server.connect({ servername: 'EXAMPLE.NET' }))).toContain('example.net');
    const started = await serve(tls, { domain: 'example.net' });
    expect(namesOf(await started.connect())).toContain('example.net');
    expect(namesOf(await started.connect({ servername: 'example.org' }))).toContain('example.org');
  });

  test('shares one context among all names of a certificate', async () => {
    const tls = await contexts();
    expect(tls.contextFor('groups.example.org')).toBe(tls.contextFor('example.org'));
    expect(tls.contextFor('example.net')).not.toBe(tls.contextFor('example.org'));
    expect(tls.accept().options.secureContext).toBe(tls.contextFor('example.org'));
  });

  test('refuses what is too old or too weak', async () => {
    const server = await serve(await contexts());
    await expect(server.connect({ maxVersion: 'TLSv1.1', minVersion: 'TLSv1' })).rejects.toThrow();
    await expect(server.connect({ maxVersion: 'TLSv1.2', ciphers: 'ECDHE-ECDSA-AES128-SHA' })).rejects.toThrow();
    await expect(server.connect({ maxVersion: 'TLSv1.2', ciphers: 'AES128-GCM-SHA256' })).rejects.toThrow();
  });

  test('is not renegotiated', async () => {
    const server = await serve(await contexts());
    const { client } = await server.connect({ maxVersion: 'TLSv1.2' });
    const refused = await new Promise<Error | null>((resolve) => {
      client.on('error', resolve);
      client.renegotiate({}, resolve);
    });
    expect(refused).toBeInstanceOf(Error);
  });

  test('settles on the protocol above (XEP-0368)', async () => {
    const server = await serve(await contexts(), { alpn: ['xmpp-client'] });
    expect((await server.connect({ ALPNProtocols: ['xmpp-client'] })).info.alpn).toBe('xmpp-client');
    expect((await server.connect()).info.alpn).toBeUndefined();
    await expect(server.connect({ ALPNProtocols: ['h2'] })).rejects.toThrow();
  });

  test('takes the peer’s certificate where it is asked for', async () => {
    const tls = await contexts();
    const own = root.issue({ names: ['peer.example'] });
    const options = { cert: own.certificate, key: own.key };
    const asking = await serve(tls, { requestCertificate: true });
    expect((await asking.connect(options)).info.peerCertificates).toEqual([rawOf(own.certificate)]);
    expect((await asking.connect()).info.peerCertificates).toEqual([]);
    expect((await (await serve(tls)).connect(options)).info.peerCertificates).toEqual([]);
  });
});

describe('channel binding', () => {
  const endPointOf = (handshake: Handshake): Buffer => createHash('sha256').update(handshake.shown).digest();
  const exporterOf = ({ client }: Handshake): Buffer =>
    client.exportKeyingMaterial(32, 'EXPORTER-Channel-Binding', Buffer.alloc(0));

  test('gives both ends the same values under TLS 1.3', async () => {
    const server = await serve(await contexts());
    const handshake = await server.connect({ servername: 'example.net' });
    expect(handshake.info).toMatchObject({ protocol: 'TLSv1.3', servername: 'example.net' });
    expect(handshake.info.cipher).toMatch(/^TLS_/);
    expect(handshake.info.exporter).toEqual(exporterOf(handshake));
    expect(handshake.info.endPoint).toEqual(endPointOf(handshake));
    const other = await server.connect({ servername: 'example.net' });
    expect(other.info.exporter).not.toEqual(handshake.info.exporter);
  });

  test('takes the first Finished message of the handshake, with and without resumption (RFC 5929 3.1)', async () => {
    const server = await serve(await contexts());
    for (const maxVersion of ['TLSv1.3', 'TLSv1.2'] as const) {
      const fresh = await server.connect({ maxVersion });
      expect(fresh.info.unique).toEqual(fresh.client.getFinished());
      const again = await server.connect({ maxVersion, session: fresh.session! });
      expect(again.server.isSessionReused()).toBe(true);
      expect(again.info.unique).toEqual(again.client.getPeerFinished());
    }
  });

  test('has no exporter below TLS 1.3 (RFC 9266 4.2)', async () => {
    const server = await serve(await contexts());
    const handshake = await server.connect({ maxVersion: 'TLSv1.2' });
    expect(handshake.info).toMatchObject({ protocol: 'TLSv1.2', exporter: undefined });
    expect(handshake.info.endPoint).toEqual(endPointOf(handshake));
  });

  test('names the right certificate when a session is resumed, or none where that is in doubt', async () => {
    const tls = await contexts();
    const direct = await serve(tls);
    const started = await serve(tls, { domain: 'example.net' });
    for (const [server, maxVersion, isSure] of [
      [direct, 'TLSv1.3', true],
      [direct, 'TLSv1.2', false],
      [started, 'TLSv1.3', true],
      [started, 'TLSv1.2', true],
    ] as const) {
      const first = await server.connect({ servername: 'example.net', maxVersion });
      expect(first.info.endPoint).toEqual(endPointOf(first));
      expect(first.session).toBeDefined();
      const again = await server.connect({ servername: 'example.net', maxVersion, session: first.session! });
      expect(again.server.isSessionReused()).toBe(true);
      expect(again.info.endPoint).toEqual(isSure ? first.info.endPoint : undefined);
    }
  });

  test('is in no doubt where there is but one certificate', async () => {
    const server = await serve(await contexts({ hosts: [{ domain: 'example.org' }] }));
    const first = await server.connect({ servername: 'example.org', maxVersion: 'TLSv1.2' });
    const again = await server.connect({ servername: 'example.org', maxVersion: 'TLSv1.2', session: first.session! });
    expect(again.server.isSessionReused()).toBe(true);
    expect(again.info.endPoint).toEqual(endPointOf(first));
  });

  test('never mixes a session of the old certificate with the new one', async () => {
    await put({ 'net.pem': pem(root.issue({ names: ['example.net'] })) });
    const tls = await contexts();
    const server = await serve(tls);
    const first = await server.connect({ servername: 'example.net' });
    await put({ 'net.pem': pem(root.issue({ names: ['example.net'] })) });
    await tls.reload();
    // what was shown before is what counts for a connection that is open
    expect(first.info.endPoint).toEqual(endPointOf(first));
    const again = await server.connect({ servername: 'example.net', session: first.session! });
    expect(again.server.isSessionReused()).toBe(false);
    expect(again.shown).not.toEqual(first.shown);
    expect(again.info.endPoint).toEqual(endPointOf(again));
  });

  test('has no end point for a certificate that is signed without a hash function', async () => {
    const signer = new TestAuthority('Ed25519 CA', undefined, 'ed25519');
    await put({ 'all.pem': pem(signer.issue({ names: ['example.org', 'groups.example.org', 'example.net'] })) });
    const handshake = await (await serve(await contexts())).connect();
    expect(handshake.info.endPoint).toBeUndefined();
    expect(handshake.info.exporter).toEqual(exporterOf(handshake));
  });
});

describe('a folder of certificates', () => {
  const sourceOf = (tls: TlsContexts, domain = 'example.org'): string =>
    (tls.certificateFor(domain)?.file ?? 'local').replace(join(folder, 'certs/'), '');

  test('may not be there', async () => {
    const { log, lines } = warnings();
    expect(sourceOf(await contexts({ log }))).toBe('local');
    expect(lines).toEqual([]);
  });

  test('is read in every layout', async () => {
    const org = root.issue({ names: ['example.org', 'groups.example.org'] });
    const layouts: Readonly<Record<string, Readonly<Record<string, string>>>> = {
      'flat pair': { 'example.org.crt': org.certificate, 'example.org.key': org.key },
      combined: { 'bundle.pem': pem(org) },
      'key first': { 'bundle.pem': org.key + org.certificate },
      certbot: {
        README: 'This folder holds your certificates',
        'live/example.org/cert.pem': org.certificate,
        'live/example.org/chain.pem': root.certificate,
        'live/example.org/fullchain.pem': org.certificate + root.certificate,
        'live/example.org/privkey.pem': org.key,
      },
      'acme.sh': {
        'example.org_ecc/example.org.cer': org.certificate,
        'example.org_ecc/ca.cer': root.certificate,
        'example.org_ecc/fullchain.cer': org.certificate + root.certificate,
        'example.org_ecc/example.org.key': org.key,
        'example.org_ecc/example.org.conf': 'Le_Domain=example.org',
      },
      caddy: {
        'certificates/acme/example.org/example.org.crt': org.certificate,
        'certificates/acme/example.org/example.org.key': org.key,
        'certificates/acme/example.org/example.org.json': '{}',
      },
    };
    for (const [name, files] of Object.entries(layouts)) {
      await rm(join(folder, 'certs'), { recursive: true, force: true });
      await put(files);
      const { log, lines } = warnings();
      const tls = await contexts({ log });
      expect(tls.certificateFor('example.org')?.raw, name).toEqual(rawOf(org.certificate));
      expect(tls.certificateFor('groups.example.org')?.source, name).toBe('folder');
      expect(tls.certificateFor('example.net')?.source, name).toBe('local');
      expect(lines, name).toEqual([]);
    }
  });

  test('follows links, as certbot makes them', async () => {
    const org = root.issue({ names: ['example.org'] });
    await put({ 'archive/example.org/fullchain1.pem': org.certificate, 'archive/example.org/privkey1.pem': org.key });
    await mkdir(join(folder, 'certs/live/example.org'), { recursive: true });
    for (const name of ['fullchain', 'privkey']) {
      await symlink(`../../archive/example.org/${name}1.pem`, join(folder, `certs/live/example.org/${name}.pem`));
    }
    await symlink('..', join(folder, 'certs/live/loop'));
    expect((await contexts()).certificateFor('example.org')?.raw).toEqual(rawOf(org.certificate));
  });

  test('gives the whole chain but the root, whatever file it is in', async () => {
    const between = new TestAuthority('Between', root);
    const org = between.issue({ names: ['example.org'] });
    for (const files of [
      { 'a.pem': pem(org), 'z.pem': between.certificate },
      { 'a.pem': org.certificate + root.certificate + between.certificate, 'a.key': org.key },
    ]) {
      await rm(join(folder, 'certs'), { recursive: true, force: true });
      await put(files);
      const { client } = await (await serve(await contexts())).connect({
        ca: root.certificate,
        servername: 'example.org',
      });
      expect(client.authorized).toBe(true);
    }
  });

  test('serves by wildcard, and by the certificate that is valid longest', async () => {
    const wild = root.issue({ names: ['*.example.org'], notAfter: Date.now() + 50 * DAY });
    const short = root.issue({ names: ['example.org'], notAfter: Date.now() + 40 * DAY });
    const long = root.issue({ names: ['example.org'], notAfter: Date.now() + 60 * DAY });
    await put({ 'wild.pem': pem(wild), 'a.pem': pem(short), 'b.pem': pem(long), 'c.pem': pem(short) });
    const tls = await contexts();
    expect(sourceOf(tls)).toBe('b.pem');
    expect(sourceOf(tls, 'groups.example.org')).toBe('wild.pem');
    expect(sourceOf(tls, 'example.net')).toBe('local');
  });

  test('passes over what has expired or has not begun, and says so once', async () => {
    const old = root.issue({ names: ['example.org'], notBefore: Date.now() - 9 * DAY, notAfter: Date.now() - DAY });
    const early = root.issue({ names: ['example.net'], notBefore: Date.now() + DAY });
    await put({ 'old.pem': pem(old), 'early.pem': pem(early) });
    const { log, lines } = warnings();
    const tls = await contexts({ log });
    expect(sourceOf(tls)).toBe('local');
    expect(sourceOf(tls, 'example.net')).toBe('local');
    expect(lines).toEqual([expect.stringMatching(/^old\.pem: .*expired on \d{4}-\d\d-\d\d; renew/)]);
    await tls.reload();
    expect(lines).toHaveLength(1);
    // an old one beside its successor is in nobody's way
    await put({ 'new.pem': pem(root.issue({ names: ['example.org'] })) });
    const second = warnings();
    expect(sourceOf(await contexts({ log: second.log }))).toBe('new.pem');
    expect(second.lines).toEqual([]);
  });

  test('warns once of each file that is of no use, and says what to do', async () => {
    const org = root.issue({ names: ['example.org'] });
    const other = root.issue({ names: ['other.example'] });
    const nameless = root.issue({ names: [] });
    const locked = generateKeyPairSync('ec', {
      namedCurve: 'P-256',
      publicKeyEncoding: { type: 'spki', format: 'pem' },
      privateKeyEncoding: { type: 'pkcs8', format: 'pem', cipher: 'aes-256-cbc', passphrase: 'x' },
    }).privateKey;
    await put({
      'good.pem': pem(org),
      'damaged.pem': org.certificate.replace(/\n.{10}/, '\n!!!!!!!!!!'),
      'der.crt': 'binary',
      'empty.key': '',
      'keyless.pem': other.certificate,
      'locked.key': locked,
      'nameless.pem': pem(nameless),
      'store.p12': 'binary',
      'wrong.key': root.issue({ names: ['x'] }).key,
      'notes.txt': 'nothing of interest',
    });
    const { log, lines } = warnings();
    const tls = await contexts({ log });
    expect(sourceOf(tls)).toBe('good.pem');
    expect(lines.sort()).toEqual([
      expect.stringMatching(/^damaged\.pem: .*damaged; copy it again/),
      expect.stringMatching(/^der\.crt: .*not PEM.*openssl/),
      expect.stringMatching(/^empty\.key: .*empty/),
      expect.stringMatching(/^keyless\.pem: No private key .*other\.example.*put the key/),
      expect.stringMatching(/^locked\.key: .*passphrase.*openssl/),
      expect.stringMatching(/^nameless\.pem: .*names no domain/),
      expect.stringMatching(/^store\.p12: PKCS#12.*openssl/),
    ]);
    await tls.reload();
    expect(lines).toHaveLength(7);
  });

  test('warns of what it may not read', async () => {
    await put({ 'secret.key': root.issue({ names: ['example.org'] }).key });
    await chmod(join(folder, 'certs/secret.key'), 0);
    const { log, lines } = warnings();
    await asSomebody(() => contexts({ log }));
    expect(lines).toEqual([expect.stringMatching(/^secret\.key: .*EACCES.*user/)]);
  });

  test('is watched: a new certificate is shown without a restart', async () => {
    await put({ 'org.pem': pem(root.issue({ names: ['example.org'] })) });
    const tls = await contexts();
    const server = await serve(tls);
    const old = await server.connect({ servername: 'example.org' });
    const next = root.issue({ names: ['example.org'] });
    await put({ 'org.pem': pem(next) });
    await until(() => tls.certificateFor('example.org')?.raw.equals(rawOf(next.certificate)) === true);
    expect((await server.connect({ servername: 'example.org' })).shown).toEqual(rawOf(next.certificate));
    // connections that are open stay
    old.client.write('still there');
    expect(await new Promise((resolve) => old.client.once('data', resolve))).toEqual(Buffer.from('still there'));
    // also in a folder that is new
    const net = root.issue({ names: ['example.net'] });
    await put({ 'live/example.net/fullchain.pem': net.certificate, 'live/example.net/privkey.pem': net.key });
    await until(() => tls.certificateFor('example.net')?.raw.equals(rawOf(net.certificate)) === true);
  });

  test('that loses a file does not take a certificate away that is valid', async () => {
    const org = root.issue({ names: ['example.org'] });
    await put({ 'org.pem': pem(org) });
    const tls = await contexts();
    await unlink(join(folder, 'certs/org.pem'));
    await tls.reload();
    expect(tls.certificateFor('example.org')?.raw).toEqual(rawOf(org.certificate));
  });

  test('whose files are touched keeps its contexts', async () => {
    await put({ 'org.pem': pem(root.issue({ names: ['example.org'] })) });
    const tls = await contexts();
    const before = tls.contextFor('example.org');
    await utimes(join(folder, 'certs/org.pem'), new Date(), new Date());
    await tls.reload();
    expect(tls.contextFor('example.org')).toBe(before);
  });
});

describe('reloading', () => {
  test('adds hosts and takes them away', async () => {
    const tls = await contexts();
    const server = await serve(tls);
    await tls.reload([{ domain: 'example.com' }, { domain: 'example.org' }]);
    expect(tls.certificateFor('example.net')).toBeUndefined();
    expect(namesOf(await server.connect({ servername: 'example.com' }))).toContain('example.com');
    expect(namesOf(await server.connect())).toContain('example.com');
  });

  test('makes another host the first', async () => {
    const tls = await contexts();
    const server = await serve(tls);
    await tls.reload([{ domain: 'example.net' }, { domain: 'example.org', services: ['groups.example.org'] }]);
    expect(namesOf(await server.connect())).toContain('example.net');
  });

  test('reaches servers of node:https too', async () => {
    await put({ 'org.pem': pem(root.issue({ names: ['example.org'] })) });
    const tls = await contexts();
    const server = createHttpsServer(tls.serverOptions(), (_, response) => response.end('hello'));
    tls.follow(server);
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    open.push({ close: () => new Promise((resolve) => server.close(() => resolve())) });
    const { port } = server.address() as AddressInfo;
    const shown = (servername: string): Promise<Buffer | undefined> =>
      new Promise((resolve, reject) => {
        get({ host: '127.0.0.1', port, servername, rejectUnauthorized: false, agent: false }, (response) => {
          const { socket } = response as unknown as { socket: import('node:tls').TLSSocket };
          const raw = socket.getPeerX509Certificate()?.raw;
          response.resume().on('end', () => resolve(raw));
        }).on('error', reject);
      });
    for (const servername of ['', 'example.org', 'example.net']) {
      expect(await shown(servername)).toEqual(tls.certificateFor(servername || 'example.org')?.raw);
    }
    const next = root.issue({ names: ['example.org'] });
    await put({ 'org.pem': pem(next) });
    await tls.reload();
    for (const servername of ['', 'example.org']) expect(await shown(servername)).toEqual(rawOf(next.certificate));
  });
});

/** Root may read everything: as somebody else for a while. */
async function asSomebody<T>(work: () => Promise<T>): Promise<T> {
  if (process.getuid?.() !== 0) return work();
  await chmod(folder, 0o755);
  process.seteuid?.(65534);
  try {
    return await work();
  } finally {
    process.seteuid?.(0);
  }
}
