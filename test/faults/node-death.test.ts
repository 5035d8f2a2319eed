// A node dies: its people are seen to go offline, by everybody who saw them, and by nobody who sees that they are back already.
import { afterEach, describe, expect, test } from 'vitest';
import { befriend, gone, hears, here, type Joined, joinServers, unread } from '../kit/joined-servers.ts';
import { redisForAll } from '../kit/redis-for-all.ts';

const redis = redisForAll();

let joined: Joined;
afterEach(() => joined.stop());

describe.each(['in one process', 'on Redis'])('nodes %s', (where) => {
  const start = async (): Promise<void> => {
    joined = await joinServers(where === 'on Redis' ? redis.url : undefined, ['one', 'two', 'three']);
  };

  test('contacts, own devices and whoever had directed presence see that a session went with its node', async () => {
    await start();
    await befriend(joined, 'romeo', 'juliet');
    const own = await joined.enter(0, 'romeo', 'phone');
    const contact = await joined.enter(0, 'juliet', 'balcony');
    const stranger = await joined.enter(2, 'nurse', 'here');
    const dying = await joined.enter(1, 'romeo', 'orchard');
    for (const client of [own, contact, stranger]) client.write('<presence/>');
    await hears(contact, here('romeo@verona.test/phone'));
    dying.write("<presence/><presence to='nurse@verona.test/here'/>");
    for (const client of [own, contact, stranger]) await hears(client, here('romeo@verona.test/orchard'));
    joined.kill(1);
    for (const client of [own, contact, stranger]) await hears(client, gone('romeo@verona.test/orchard'));
    // once, and nobody else
    await new Promise((resolve) => setTimeout(resolve, 200));
    for (const client of [own, contact, stranger]) expect(unread(client).join()).not.toContain('unavailable');
    // whoever is asked now knows nothing of it either
    contact.write("<iq type='get' id='gone' to='romeo@verona.test/orchard'><ping xmlns='urn:xmpp:ping'/></iq>");
    await hears(contact, /id="gone"(?=.*service-unavailable)|service-unavailable/);
  });

  test('that somebody was last there when the node died is remembered', async () => {
    await start();
    await befriend(joined, 'romeo', 'juliet');
    const contact = await joined.enter(0, 'juliet', 'balcony');
    contact.write('<presence/>');
    const dying = await joined.enter(1, 'romeo', 'orchard');
    dying.write('<presence/>');
    await hears(contact, here('romeo@verona.test/orchard'));
    joined.kill(1);
    await hears(contact, gone('romeo@verona.test/orchard'));
    await joined.clock.advance(7_000);
    await expect
      .poll(async () => {
        contact.write("<iq type='get' id='last' to='romeo@verona.test'><query xmlns='jabber:iq:last'/></iq>");
        return (await hears(contact, /id="last"/)).at(-1);
      })
      .toMatch(/seconds="7"/);
  });

  test('who comes back elsewhere at once, and says nothing, is gone for those who were told', async () => {
    await start();
    await befriend(joined, 'romeo', 'juliet');
    const contact = await joined.enter(0, 'juliet', 'balcony');
    const stranger = await joined.enter(2, 'nurse', 'here');
    for (const client of [contact, stranger]) client.write('<presence/>');
    await contact.fence();
    const dying = await joined.enter(1, 'romeo', 'orchard');
    dying.write("<presence/><presence to='nurse@verona.test/here'/>");
    for (const client of [contact, stranger]) await hears(client, here('romeo@verona.test/orchard'));
    joined.kill(1);
    await joined.enter(2, 'romeo', 'orchard');
    for (const client of [contact, stranger]) await hears(client, gone('romeo@verona.test/orchard'));
  });

  test('who comes back elsewhere at once, under the same address, is not shown as gone afterwards', async () => {
    await start();
    await befriend(joined, 'romeo', 'juliet');
    const contact = await joined.enter(2, 'juliet', 'balcony');
    contact.write('<presence/>');
    const dying = await joined.enter(1, 'romeo', 'orchard');
    dying.write('<presence/>');
    await hears(contact, here('romeo@verona.test/orchard'));
    joined.kill(1);
    const back = await joined.enter(0, 'romeo', 'orchard');
    back.write('<presence><status>back</status></presence>');
    const heard = await hears(contact, /<status>back/);
    await new Promise((resolve) => setTimeout(resolve, where === 'on Redis' ? 1500 : 200));
    const all = [...heard, ...unread(contact)].filter((text) => text.includes('romeo@verona.test/orchard'));
    expect(all.at(-1)).toContain('back');
    contact.write("<message to='romeo@verona.test/orchard' id='hi'><body>Hi</body></message>");
    await hears(back, /id="hi"/);
  });
});
