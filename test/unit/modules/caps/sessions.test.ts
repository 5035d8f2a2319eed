// What every node sees in the directory of what a session can do.
import { expect, test } from 'vitest';
import type { SessionEntry } from '../../../../src/cluster/cluster.ts';
import type { BareJid } from '../../../../src/xmpp/jid.ts';
import type { StreamClient } from '../../../kit/client.ts';
import { pairForEach } from '../../../kit/pair-for-each.ts';

const domain = 'verona.test';
const pair = pairForEach();
const ver = 'QgayPKawpkPSDYmwT/WM94uAlu0=';
const presence = (hash: string): string =>
  `<presence><c xmlns='http://jabber.org/protocol/caps' hash='sha-1' node='urn:x' ver='${hash}'/></presence>`;
const exodus = `<query xmlns='http://jabber.org/protocol/disco#info'><identity category='client' name='Exodus 0.9.1' type='pc'/>${[
  'caps',
  'disco#info',
  'disco#items',
  'muc',
]
  .map((name) => `<feature var='http://jabber.org/protocol/${name}'/>`)
  .join('')}</query>`;

const seenBy = async (node: 0 | 1, user: string): Promise<unknown[]> => {
  const entries = await pair.group.bus.clusters[node]!.directory.sessions(`${user}@${domain}` as BareJid);
  return entries.map(({ shared }) => shared.caps);
};

/** Answers what the client was asked. */
function answer(client: StreamClient, query: string): number {
  let count = 0;
  for (const item of client.inbox.splice(0)) {
    if (item.kind !== 'element' || item.element.name !== 'iq') continue;
    const { id, from } = item.element.attrs;
    client.write(`<iq type='result' id='${id}' to='${from}'>${query}</iq>`);
    count++;
  }
  return count;
}

test('a verified hash is seen by all nodes, and is never there before it was verified', async () => {
  const romeo = await pair.enter(0, 'romeo', 'orchard');
  romeo.write(presence(ver));
  await pair.settle();
  expect(await seenBy(1, 'romeo')).toEqual([undefined]);
  expect(answer(romeo, exodus)).toBe(1);
  await pair.settle();
  expect(await seenBy(1, 'romeo')).toEqual([`sha-1.${ver}`]);
  // on the other node, too, it is known now
  const juliet = await pair.enter(1, 'juliet', 'balcony');
  juliet.write(presence(ver));
  await pair.settle();
  expect(answer(juliet, exodus)).toBe(0);
  expect(await seenBy(0, 'juliet')).toEqual([`sha-1.${ver}`]);
});

test('who announces something else that he cannot prove has no capabilities any more', async () => {
  const romeo = await pair.enter(0, 'romeo', 'orchard');
  romeo.write(presence(ver));
  await pair.settle();
  answer(romeo, exodus);
  await pair.settle();
  // presence that does not speak of it changes nothing (8.4)
  romeo.write('<presence><show>away</show></presence>');
  await pair.settle();
  expect(await seenBy(1, 'romeo')).toEqual([`sha-1.${ver}`]);
  romeo.inbox.splice(0);
  romeo.write(presence('AAAAAAAAAAAAAAAAAAAAAAAAAAA='));
  await pair.settle();
  expect(answer(romeo, exodus)).toBe(1);
  await pair.settle();
  expect(await seenBy(1, 'romeo')).toEqual([undefined]);
});

test('what is known goes into the directory with the presence, and is out with the next that announces nothing', async () => {
  const first = await pair.enter(0, 'juliet', 'balcony');
  first.write(presence(ver));
  await pair.settle();
  answer(first, exodus);
  await pair.settle();
  const romeo = await pair.enter(0, 'romeo', 'orchard');
  const puts: Pick<SessionEntry, 'available' | 'shared'>[] = [];
  const { directory } = pair;
  const put = directory.put.bind(directory);
  directory.put = (entry) => {
    puts.push({ available: entry.available, shared: entry.shared });
    return put(entry);
  };
  romeo.write(presence(ver));
  await pair.settle();
  expect(puts).toEqual([{ available: true, shared: { caps: `sha-1.${ver}` } }]);
  romeo.write("<presence type='unavailable'/>");
  romeo.write('<presence/>');
  await pair.settle();
  expect(puts.at(-1)).toEqual({ available: true, shared: {} });
});

test('the answer that comes after the resource has announced something else is of no account', async () => {
  const romeo = await pair.enter(0, 'romeo', 'orchard');
  romeo.write(presence(ver));
  romeo.write(presence('AAAAAAAAAAAAAAAAAAAAAAAAAAA='));
  await pair.settle();
  expect(answer(romeo, exodus)).toBe(2);
  await pair.settle();
  expect(await seenBy(1, 'romeo')).toEqual([undefined]);
});
