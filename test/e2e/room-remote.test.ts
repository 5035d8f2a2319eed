// A room with people of another server, whose process is killed: they do not stay in the room.
import { afterAll, beforeAll, expect, test } from 'vitest';
import { ChildServer, passwordOf } from '../kit/child-server.ts';
import type { StreamClient } from '../kit/client.ts';
import { enter, federating } from '../kit/federation.ts';
import { logIn } from '../kit/login.ts';
import { freePort, NameServerProgram } from '../kit/peers.ts';
import { told } from '../kit/server-peer.ts';
import { mergeSettings, TestServer } from '../kit/test-server.ts';

const ROOM = 'coven@groups.parley.example';
const x = "<x xmlns='http://jabber.org/protocol/muc'/>";
const cleanups: (() => Promise<unknown>)[] = [];
let killed: ChildServer;
let server: TestServer;
let romeo: StreamClient;

beforeAll(async () => {
  const [ours, theirs] = [await freePort(), await freePort()];
  const names = await NameServerProgram.start([
    { domain: 'parley.example', port: ours },
    { domain: 'groups.parley.example', port: ours },
    { domain: 'killed.example', port: theirs },
  ]);
  cleanups.push(() => names[Symbol.asyncDispose]());
  const dns = { servers: [`127.0.0.1:${names.port}`] };
  const own = mergeSettings(federating('parley.example'), {
    hosts: { 'parley.example': { s2s: { 'queue-time': '5s' } } },
    listen: { s2s: ours, 's2s-tls': null },
    dns,
  });
  server = await TestServer.start(own);
  cleanups.push(() => server.stop());
  killed = await ChildServer.start({
    hosts: { 'killed.example': {} },
    database: 'memory',
    tls: { required: false },
    listen: { s2s: theirs },
    dns,
  });
  cleanups.push(() => killed[Symbol.asyncDispose]());
  romeo = (await enter(server, 'romeo@parley.example')).client;
  cleanups.push(() => romeo.destroy());
  romeo.write(`<presence to='${ROOM}/romeo'>${x}</presence>`);
  await find(romeo, /<subject/);
  const submit = "<x xmlns='jabber:x:data' type='submit'/>";
  romeo.write(
    `<iq type='set' id='u' to='${ROOM}'><query xmlns='http://jabber.org/protocol/muc#owner'>${submit}</query></iq>`,
  );
  await find(romeo, /id="u"/);
}, 90_000);
afterAll(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

/** The next thing that came and is of interest. */
async function find(client: StreamClient, wanted: RegExp): Promise<string> {
  const seen: string[] = [];
  for (;;) {
    const text = told(await client.next(40_000));
    if (wanted.test(text)) return text;
    seen.push(text);
    if (text === 'nothing') throw new Error(`${wanted} did not come, but this:\n${seen.join('\n')}`);
  }
}

async function comeIn(): Promise<StreamClient> {
  await killed.addUsers('killed.example', ['mercutio']);
  const { client } = await logIn(killed.address('c2s'), {
    domain: 'killed.example',
    user: 'mercutio',
    password: passwordOf('mercutio'),
  });
  cleanups.push(() => client.destroy());
  // its first word may come while the stream to where its server was is being given up, and is refused with `wait`
  for (let tries = 0, heard = ''; !heard.includes('<subject') && tries < 10; tries++) {
    if (tries > 0) await new Promise((resolve) => setTimeout(resolve, 1_000));
    client.write(`<presence to='${ROOM}/mercutio'>${x}</presence>`);
    heard = await find(client, /<subject|<error type="wait"/);
  }
  await find(romeo, /<presence (?!.*type=).*from="[^"]*\/mercutio"/);
  return client;
}

const isGone = /<presence (?=.*type="unavailable").*from="[^"]*\/mercutio".*<status code="333"/;

async function expectEmptyBut(nick: string): Promise<void> {
  romeo.write(`<iq type='get' id='who' to='${ROOM}'><query xmlns='http://jabber.org/protocol/disco#items'/></iq>`);
  const list = await find(romeo, /id="who"/);
  expect([...list.matchAll(/name="([^"]*)"/g)].map(([, name]) => name)).toEqual([nick]);
}

test('whoever was at a server that is killed is gone when that cannot be reached, and comes back with it', async () => {
  await comeIn();
  // it has heard everything: nothing will come back but what is said from now on
  const waiting = (): number => server.server.federation().reduce((sum, stream) => sum + stream.waiting, 0);
  await expect.poll(waiting, { timeout: 20_000 }).toBe(0);
  await killed.stop('SIGKILL');
  romeo.write(`<message to='${ROOM}' type='groupchat'><body>Art thou hurt?</body></message>`);
  await find(romeo, /Art thou hurt/);
  await find(romeo, isGone);
  await expectEmptyBut('romeo');
  await killed.start();
  await comeIn();
}, 120_000);

test('whoever was at a server that is killed while it is told something is gone without another word', async () => {
  process.kill(killed.pid, 'SIGSTOP');
  romeo.write(`<message to='${ROOM}' type='groupchat'><body>Courage, man</body></message>`);
  await find(romeo, /Courage, man/);
  await killed.stop('SIGKILL');
  await find(romeo, isGone);
  await expectEmptyBut('romeo');
}, 60_000);

test('whoever was at a server that was killed and is there again is gone when somebody says a word', async () => {
  await killed.start();
  await comeIn();
  const waiting = (): number => server.server.federation().reduce((sum, stream) => sum + stream.waiting, 0);
  await expect.poll(waiting, { timeout: 20_000 }).toBe(0);
  await killed.stop('SIGKILL');
  await killed.start();
  await killed.addUsers('killed.example', ['mercutio']);
  romeo.write(`<message to='${ROOM}' type='groupchat'><body>A plague</body></message>`);
  await find(romeo, isGone);
  await expectEmptyBut('romeo');
}, 120_000);
