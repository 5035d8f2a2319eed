// Parley among servers that others wrote: Prosody and ejabberd of Debian's packages, with dnsmasq to find each other.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { TestAuthority } from '../kit/certificates.ts';
import type { StreamClient } from '../kit/client.ts';
import { enter, federating } from '../kit/federation.ts';
import { Ejabberd, freePort, NameServerProgram, type PeerServer, Prosody } from '../kit/peers.ts';
import { mergeSettings, TestServer } from '../kit/test-server.ts';

const authority = new TestAuthority('Everybody trusts me');
const domain = 'parley.test';

describe.each([
  ['Prosody', Prosody],
  ['ejabberd', Ejabberd],
] as const)('with %s', (name, Kind) => {
  let names: NameServerProgram;
  let peer: PeerServer;
  let server: TestServer;
  let folder: string;
  const remote = `${name.toLowerCase()}.test`;

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'parley federation '));
    const [ours, theirs] = [await freePort(), await freePort()];
    names = await NameServerProgram.start([
      { domain, port: ours },
      { domain: remote, port: theirs },
      { domain: `rooms.${remote}`, port: theirs },
    ]);
    peer = new Kind({
      domain: remote,
      certificate: authority.issue({ names: [remote, `*.${remote}`] }),
      ca: authority.certificate,
      dnsPort: names.port,
      s2sPort: theirs,
    });
    const own = authority.issue({ names: [domain] });
    writeFileSync(join(folder, 'ca.pem'), authority.certificate);
    writeFileSync(join(folder, 'parley.pem'), `${own.certificate}\n${own.key}`);
    server = await TestServer.start(
      mergeSettings(federating(domain), {
        tls: { certificates: folder, ca: join(folder, 'ca.pem') },
        dns: { servers: [`127.0.0.1:${names.port}`] },
        listen: { s2s: ours },
      }),
    );
    await peer.start();
  });

  afterAll(async () => {
    await server?.stop();
    await peer?.[Symbol.asyncDispose]();
    await names?.[Symbol.asyncDispose]();
    rmSync(folder, { recursive: true, force: true });
  });

  test('messages go both ways', async () => {
    const romeo = await enter(server, `romeo@${domain}`);
    const juliet = await peer.enter('juliet', 'balcony');
    romeo.client.write(`<message to='${juliet.jid}' id='1'><body>Wherefore?</body></message>`);
    try {
      expect(await heard(juliet.client)).toContain('Wherefore?');
      juliet.client.write(`<message to='${romeo.jid}' id='2'><body>Deny thy father</body></message>`);
      expect(await heard(romeo.client)).toContain('Deny thy father');
    } finally {
      console.log(server.server.federation());
      console.log(server.log.filter((l) => l.fields.part === 's2s'));
      (await import('node:fs')).writeFileSync(`/tmp/s2sx/${name}.log`, peer.log());
    }
  }, 30_000);
});

async function heard(client: StreamClient): Promise<string> {
  const item = await client.next(15_000);
  return item?.kind === 'element' ? item.element.toString() : String(item?.kind);
}
