// BOSH as Strophe speaks it (XEP-0206), against the command as people run it, over a good network and a bad one.
import { $iq, $msg, $pres, Strophe } from 'strophe.js';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { openChaosPipe } from '../kit/chaos.ts';
import { ChildServer, passwordOf, until } from '../kit/child-server.ts';
import type { Address } from '../kit/client.ts';
import { XmlHttpRequest } from '../kit/xml-http-request.ts';

const domain = 'bosh.example';
const patience = 10_000;
const { CONNECTED, DISCONNECTED, AUTHFAIL, CONNFAIL } = Strophe.Status;

let server: ChildServer;
beforeAll(async () => {
  vi.stubGlobal('XMLHttpRequest', XmlHttpRequest);
  Strophe.setLogLevel(Strophe.LogLevel.FATAL);
  server = await ChildServer.start({ hosts: { [domain]: {} } });
  await server.addUsers(domain, ['romeo', 'juliet']);
});
afterAll(async () => {
  vi.unstubAllGlobals();
  await server?.[Symbol.asyncDispose]();
});

interface Person extends AsyncDisposable {
  readonly connection: InstanceType<typeof Strophe.Connection>;
  /** Bodies of messages, as they came. */
  readonly heard: string[];
  /** How the connection ended, once it has. */
  readonly ended: () => { readonly condition: string | undefined } | undefined;
}

async function come(user: string, at: Address = server.address('http'), password = passwordOf(user)): Promise<Person> {
  const connection = new Strophe.Connection(`http://${at.address}:${at.port}/http-bind`);
  const heard: string[] = [];
  let end: { readonly condition: string | undefined } | undefined;
  const isIn = await new Promise<boolean>((resolve) => {
    connection.connect(`${user}@${domain}/web-${Math.random()}`, password, (status, condition) => {
      if (status === CONNECTED) resolve(true);
      if (status === AUTHFAIL || status === CONNFAIL) resolve(false);
      if (status === DISCONNECTED || status === CONNFAIL) end ??= { condition };
    });
  });
  if (!isIn) throw new Error(`${user} does not get in`);
  connection.addHandler((stanza) => {
    const body = stanza.nodeName === 'message' ? stanza.getElementsByTagName('body')[0] : undefined;
    if (body !== undefined) heard.push(body.textContent);
    return true;
  });
  connection.send($pres());
  return {
    connection,
    heard,
    ended: () => end,
    async [Symbol.asyncDispose]() {
      connection.disconnect();
      await until(patience, () => end !== undefined);
    },
  };
}

const say = (from: Person, to: Person, text: string): void =>
  from.connection.send($msg({ to: to.connection.jid, type: 'chat' }).c('body').t(text));

test('two people in browsers talk, and go', async () => {
  const romeo = await come('romeo');
  await using juliet = await come('juliet');
  const lines = Array.from({ length: 100 }, (_, i) => `line ${i} <&> ü`);
  for (const line of lines) say(romeo, juliet, line);
  say(juliet, romeo, 'enough');
  expect(await until(patience, () => juliet.heard.length >= lines.length && romeo.heard.length === 1)).toBe(true);
  expect(juliet.heard).toEqual(lines);
  const roster = await new Promise((resolve, reject) => {
    romeo.connection.sendIQ($iq({ type: 'get' }).c('query', { xmlns: 'jabber:iq:roster' }), resolve, reject, patience);
  });
  expect(roster).toBeDefined();
  romeo.connection.disconnect('good night');
  expect(await until(patience, () => romeo.ended() !== undefined)).toBe(true);
});

test('a wrong password is refused', async () => {
  await expect(come('romeo', undefined, 'wrong')).rejects.toThrow('does not get in');
});

test('nothing is lost or doubled when connections are cut, whatever is on them', async () => {
  await using pipe = await openChaosPipe(server.address('http'));
  const romeo = await come('romeo');
  const juliet = await come('juliet', pipe.address);
  const lines: string[] = [];
  const back: string[] = [];
  for (let round = 0; round < 6; round++) {
    for (let i = 0; i < 5; i++) {
      lines.push(`${round}.${i}`);
      back.push(`back ${round}.${i}`);
      say(romeo, juliet, lines.at(-1)!);
      say(juliet, romeo, back.at(-1)!);
    }
    // sometimes before, and sometimes behind the response
    await new Promise((resolve) => setTimeout(resolve, round * 3));
    pipe.reset();
    const arrived = (): boolean => juliet.heard.length >= lines.length && romeo.heard.length >= back.length;
    expect(await until(patience, arrived)).toBe(true);
  }
  expect(juliet.heard).toEqual(lines);
  expect(romeo.heard).toEqual(back);
  for (const one of [romeo, juliet]) await one[Symbol.asyncDispose]();
});

test('a slow network is only slow', async () => {
  await using pipe = await openChaosPipe(server.address('http'));
  pipe.upstream = { delay: 20, dribble: 100 };
  pipe.downstream = { delay: 20, dribble: 1_000 };
  await using romeo = await come('romeo', pipe.address);
  await using juliet = await come('juliet', pipe.address);
  const lines = Array.from({ length: 20 }, (_, i) => `${i} ${'x'.repeat(500)}`);
  for (const line of lines) say(romeo, juliet, line);
  expect(await until(patience, () => juliet.heard.length >= lines.length)).toBe(true);
  expect(juliet.heard).toEqual(lines);
});

test('an orderly stop says goodbye, and the server never logged an error', async () => {
  const romeo = await come('romeo');
  // until its request waits
  await new Promise((resolve) => setTimeout(resolve, 600));
  expect(await server.stop()).toEqual({ code: 0, signal: null });
  expect(await until(patience, () => romeo.ended() !== undefined)).toBe(true);
  expect(romeo.ended()?.condition).toBe('remote-stream-error');
  expect(server.output.split('\n').filter((line) => line.includes('"level":"error"'))).toEqual([]);
});
