// Subscriptions while a session of the other side comes: whichever of the two is first, somebody sees what the other one did.
import { expect, test } from 'vitest';
import type { SessionEntry } from '../../../../src/cluster/cluster.ts';
import type { StreamClient } from '../../../kit/client.ts';
import { pairForEach } from '../../../kit/pair-for-each.ts';

const domain = 'verona.test';
const pair = pairForEach({ isLate: true });
const { enter, settle } = pair;

const heard = ({ inbox }: StreamClient, from: string, type: string | undefined): number =>
  inbox.filter(
    ({ ...item }) =>
      item.kind === 'element' &&
      item.element.is('presence') &&
      item.element.attrs.from === from &&
      item.element.attrs.type === type,
  ).length;

test('who is made a contact while a session becomes available sees it', async () => {
  const juliet = await enter(0, 'juliet', 'balcony');
  const romeo = await enter(0, 'romeo', 'orchard');
  for (const client of [juliet, romeo]) client.write('<presence/>');
  juliet.write(`<presence to='romeo@${domain}' type='subscribe'/>`);
  await settle();
  // his other session becomes available on the second node, and the directory takes its time
  const { directory } = pair.group.bus.clusters[1]!;
  const put = directory.put.bind(directory);
  let goOn = (): void => {};
  const gone = new Promise<void>((resolve) => {
    goOn = resolve;
  });
  directory.put = async (entry: SessionEntry) => {
    if (entry.available) await gone;
    return put(entry);
  };
  const other = await enter(1, 'romeo', 'garden');
  other.write('<presence/>');
  await new Promise((resolve) => setTimeout(resolve, 50));
  romeo.write(`<presence to='juliet@${domain}' type='subscribed'/>`);
  await expect.poll(() => heard(juliet, `romeo@${domain}/orchard`, undefined)).toBe(1);
  goOn();
  await settle();
  expect(heard(juliet, `romeo@${domain}/garden`, undefined)).toBe(1);
});

test('a request reaches a session that the node of who asks has not heard of yet', async () => {
  const juliet = await enter(0, 'juliet', 'balcony');
  const romeo = await enter(1, 'romeo', 'orchard');
  await settle();
  const { directory } = pair;
  const sessions = directory.sessions.bind(directory);
  const before = await sessions('romeo@verona.test' as never, true);
  directory.sessions = (user, isFresh = false) =>
    user.startsWith('romeo@') && !isFresh ? before : sessions(user, isFresh);
  romeo.write('<presence/>');
  await settle();
  juliet.write(`<presence to='romeo@${domain}' type='subscribe'/>`);
  await settle();
  expect(heard(romeo, `juliet@${domain}`, 'subscribe')).toBe(1);
});
