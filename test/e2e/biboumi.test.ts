// An IRC gateway: biboumi, of Debian's packages, as a component, between a client of ours and an IRC server.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, expect, test } from 'vitest';
import type { StreamClient } from '../kit/client.ts';
import { enter } from '../kit/federation.ts';
import { IrcServer } from '../kit/irc-server.ts';
import { told } from '../kit/server-peer.ts';
import { TestServer } from '../kit/test-server.ts';

const program = '/usr/bin/biboumi';
const domain = 'irc.chat.example';
const ended: (() => unknown)[] = [];
afterEach(async () => {
  for (const end of ended.splice(0).reverse()) await end();
});

function launch(port: number): void {
  const folder = mkdtempSync(join(tmpdir(), 'parley biboumi '));
  const file = join(folder, 'biboumi.cfg');
  const settings = {
    hostname: domain,
    password: 'sesame',
    xmpp_server_ip: '127.0.0.1',
    port,
    db_name: join(folder, 'biboumi.sqlite'),
    fixed_irc_server: '127.0.0.1',
    log_level: 1,
  };
  const lines = Object.entries(settings).map(([name, value]) => `${name}=${value}\n`);
  writeFileSync(file, lines.join(''));
  const child = spawn(program, [file], { stdio: 'ignore' });
  ended.push(async () => {
    if (child.exitCode === null && child.signalCode === null) {
      child.kill('SIGKILL');
      await once(child, 'exit');
    }
    rmSync(folder, { recursive: true, force: true });
  });
}

/** Reads up to what matches. */
async function reads(client: StreamClient, pattern: RegExp): Promise<string> {
  for (;;) {
    const text = told(await client.next(10_000));
    if (pattern.test(text)) return text;
    if (text === 'nothing') throw new Error(`${pattern} never came`);
  }
}

test('biboumi takes a client of ours into an IRC channel, and what is said goes both ways', async () => {
  if (!existsSync(program)) throw new Error('biboumi is missing; run: node scripts/test-deps.js');
  const irc = await IrcServer.start();
  ended.push(() => irc[Symbol.asyncDispose]());
  const server = await TestServer.start({
    hosts: { 'chat.example': {} },
    components: { [domain]: { secret: 'sesame' } },
    listen: { component: 0 },
  });
  ended.push(() => server.stop());
  launch(server.addressOf('component').port);
  const isConnected = (): boolean => server.log.some(({ message }) => message === 'a component connected');
  await expect.poll(isConnected, { timeout: 10_000 }).toBe(true);

  const { client } = await enter(server, 'romeo@chat.example');
  ended.push(() => client.destroy());
  client.write(`<iq type='get' id='q' to='${domain}'><query xmlns='http://jabber.org/protocol/disco#info'/></iq>`);
  expect(await reads(client, /id="q"/)).toContain('category="conference"');
  expect(await configure(client, irc.port)).toContain('status="completed"');
  const room = `#verona@${domain}`;
  client.write(`<presence to='${room}/romeo'><x xmlns='http://jabber.org/protocol/muc'/></presence>`);
  await reads(client, /<presence[^>]*\/romeo"/);
  client.write(`<message to='${room}' type='groupchat'><body>But soft</body></message>`);
  await expect.poll(() => irc.heard.join('\n'), { timeout: 10_000 }).toContain('PRIVMSG #verona :But soft');
  irc.say('mercutio', '#verona', 'Ay me');
  expect(await reads(client, /Ay me/)).toContain(`from="${room}/mercutio"`);
  expect(server.errors).toEqual([]);
}, 60_000);

/** Tells biboumi by an ad-hoc command on which port the IRC server listens. */
async function configure(client: StreamClient, port: number): Promise<string> {
  const command = (attrs: string, inner: string): void =>
    client.write(
      `<iq type='set' id='c' to='${domain}'><command xmlns='http://jabber.org/protocol/commands' node='server-configure' ${attrs}>${inner}</command></iq>`,
    );
  command("action='execute'", '');
  const form = await reads(client, /id="c"/);
  const session = /sessionid="([^"]+)"/.exec(form)?.[1];
  command(
    `action='complete' sessionid='${session}'`,
    `<x xmlns='jabber:x:data' type='submit'><field var='ports'><value>${port}</value></field><field var='tls_ports'/></x>`,
  );
  return reads(client, /id="c"/);
}
