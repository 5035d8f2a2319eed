// BOSH sessions whose requests come to whichever node the proxy in front of them chooses (XEP-0124 14).
import { afterEach, beforeEach, expect, test } from 'vitest';
import { type BodyAttrs, BoshClient, type Exchange, exchange } from '../../kit/bosh-client.ts';
import type { Address } from '../../kit/client.ts';
import { logIn } from '../../kit/login.ts';
import { type GroupNode, NodeGroup } from '../../kit/node-group.ts';

const domain = 'verona.test';
let group: NodeGroup;
let one: GroupNode;
let two: GroupNode;
let romeo: BoshClient;

beforeEach(async () => {
  group = await NodeGroup.start(
    { hosts: { [domain]: {} }, listen: { http: 0 }, limits: { 'stanza-bytes': 64 * 1024 } },
    { timeout: 150 },
  );
  [one, two] = group.nodes as [GroupNode, GroupNode];
  for (const user of ['romeo', 'juliet']) await one.server.server.accounts.create(`${user}@${domain}`, 'secret');
  romeo = await BoshClient.logIn(http(one), { domain, user: 'romeo', password: 'secret', resource: 'orchard' });
});
afterEach(async () => {
  expect(group.errors).toEqual([]);
  await group.stop();
});

const http = (node: GroupNode): Address => node.server.addressOf('http');
const sendTo = (node: GroupNode, content = '', attrs: BodyAttrs = {}): Exchange =>
  exchange(http(node), romeo.next(content, attrs));
const message = (to: string, text: string): string =>
  `<message xmlns='jabber:client' type='chat' to='${to}'><body>${text}</body></message>`;
const bodies = (xml: string): string[] => [...xml.matchAll(/<body>([^<]*)<\/body>/g)].map(([, text]) => text ?? '');

/** Somebody at a node, who says something to Romeo. */
async function says(node: GroupNode, text: string): Promise<void> {
  const { client } = await logIn(node.server.c2s, { domain, user: 'juliet', password: 'secret' });
  client.write(`<message type='chat' to='${romeo.jid}'><body>${text}</body></message>`);
  await client.fence();
  await client.destroy();
}

test('requests are answered wherever they come, in their order', async () => {
  const held = sendTo(two);
  await says(one, 'a');
  expect(bodies((await held.answer).text)).toEqual(['a']);
  const first = sendTo(two);
  await group.settle();
  const second = sendTo(one, message(romeo.jid, 'é💕'));
  const { text } = await first.answer;
  // (the other one waits for something to be told)
  await says(two, 'b');
  expect(bodies(text + (await second.answer).text)[0]).toBe('é💕');
  expect((await sendTo(two, '', { type: 'terminate' }).answer).text).toContain('terminate');
});

test('one that is cut off on its way is sent again, to another node, and has the same response', async () => {
  const text = romeo.next();
  const lost = exchange(http(two), text);
  await group.settle();
  lost.request.destroy();
  await group.settle();
  await says(one, 'a');
  const again = await exchange(http(one), text).answer;
  expect(bodies(again.text)).toEqual(['a']);
  expect((await exchange(http(two), text).answer).text).toBe(again.text);
});

test('a node that does not answer in time is asked again by the client', async () => {
  group.bus.freeze(one.id, true);
  const text = romeo.next(message(romeo.jid, 'a'));
  await expect(exchange(http(two), text).answer).rejects.toThrow();
  group.bus.freeze(one.id, false);
  await group.settle();
  expect(bodies((await exchange(http(two), text).answer).text)).toEqual(['a']);
});

test('with its node a session ends', async () => {
  const held = sendTo(two);
  await group.settle();
  group.kill(one);
  expect((await held.answer).text).toContain("condition='item-not-found'");
  expect((await sendTo(two).answer).text).toContain("condition='item-not-found'");
});

test('what is too large is refused, and ends the session', async () => {
  const answer = await sendTo(two, message(romeo.jid, 'x'.repeat(5 * 64 * 1024))).answer;
  expect(answer.text).toContain('policy-violation');
});

test('what is large but may be is taken', async () => {
  const answer = await sendTo(two, message(romeo.jid, 'x'.repeat(50_000))).answer;
  expect(bodies(answer.text)[0]).toHaveLength(50_000);
});
