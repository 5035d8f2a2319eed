import { expect, test } from 'vitest';
import { NS } from '../../../../src/xmpp/ns.ts';
import { form, TestShelf } from '../../../kit/pubsub-shelf.ts';

const ROMEO = 'romeo@verona.test/orchard';
const JULIET = 'juliet@verona.test/balcony';
const NURSE = 'nurse@verona.test/chamber';

async function asked(): Promise<TestShelf> {
  const shelf = await TestShelf.open();
  await shelf.create('diary', { access_model: 'authorize', notify_sub: '1' });
  await shelf.publish('diary', '1');
  await shelf.set(JULIET, "<subscribe node='diary' jid='juliet@verona.test'/>");
  return shelf;
}

function decision(fields: Record<string, string>, type = 'submit'): string {
  return `<message>${form(NS.pubsubAuthorization, fields).replace("type='submit'", `type='${type}'`)}</message>`;
}
const yes = { node: 'diary', subscriber_jid: 'juliet@verona.test', allow: 'true' };

test('a request is pending, and the owners are asked by a form', async () => {
  const shelf = await TestShelf.open();
  await shelf.create('diary', { access_model: 'authorize' });
  expect(await shelf.set(JULIET, "<subscribe node='diary' jid='juliet@verona.test'/>")).toMatch(
    /^<subscription node='diary' jid='juliet@verona.test' subid='id\d+' subscription='pending'\/>$/,
  );
  const [line] = shelf.heard('romeo@verona.test');
  for (const part of ['pubsub#subscribe_authorization', 'pubsub#allow', 'juliet@verona.test', 'diary']) {
    expect(line).toContain(part);
  }
  expect(shelf.heard()).toEqual([]);
});

test('who asks again is told that it is pending, and hears and reads nothing', async () => {
  const shelf = await asked();
  expect(await shelf.set(JULIET, "<subscribe node='diary' jid='juliet@verona.test'/>")).toBe(
    'not-authorized pending-subscription',
  );
  expect(await shelf.get(JULIET, "<items node='diary'/>")).toBe('not-authorized not-subscribed');
  await shelf.publish('diary', '2');
  expect(shelf.heard('juliet@verona.test')).toEqual([]);
});

test('an owner agrees: the subscriber is told, and gets the last item', async () => {
  const shelf = await asked();
  expect(await shelf.say(ROMEO, decision(yes))).toBe('');
  expect(shelf.heard('juliet@verona.test')).toEqual([
    expect.stringMatching(
      /^juliet@verona.test: subscription jid=juliet@verona.test subid=id\d+ subscription=subscribed$/,
    ),
    'juliet@verona.test: items [item id=1 [note]] late',
  ]);
  expect(await shelf.get(JULIET, "<items node='diary'/>")).toContain("id='1'");
  expect(await shelf.say(ROMEO, decision(yes))).toBe('unexpected-request not-subscribed');
});

test('an owner refuses: the request is gone, and whoever made it is told', async () => {
  const shelf = await asked();
  await shelf.say(ROMEO, decision({ ...yes, allow: '0' }));
  expect(shelf.heard('juliet@verona.test')[0]).toContain('subscription=none');
  expect(await shelf.get(JULIET, '<subscriptions/>')).toBe('<subscriptions/>');
});

test('an owner cancels: nothing is decided', async () => {
  const shelf = await asked();
  expect(await shelf.say(ROMEO, decision({}, 'cancel'))).toBe('');
  expect(await shelf.get(JULIET, '<subscriptions/>')).toContain("subscription='pending'");
});

test.each<[string, string, Record<string, string>, string]>([
  ['by others', NURSE, yes, 'forbidden'],
  ['by whoever asks', JULIET, yes, 'forbidden'],
  ['of nobody who asks', ROMEO, { ...yes, subscriber_jid: 'nurse@verona.test' }, 'unexpected-request not-subscribed'],
  ['of another request', ROMEO, { ...yes, subid: 'other' }, 'unexpected-request not-subscribed'],
  ['of a node that is not there', ROMEO, { ...yes, node: 'other' }, 'item-not-found'],
  ['that does not say who', ROMEO, { node: 'diary', allow: '1' }, 'bad-request'],
])('a decision %s is refused', async (_what, from, fields, outcome) => {
  const shelf = await asked();
  expect(await shelf.say(from, decision(fields))).toBe(outcome);
});

test('who is made something to the node needs nobody to agree any more', async () => {
  const shelf = await asked();
  shelf.told.length = 0;
  await shelf.setAsOwner(
    ROMEO,
    "<affiliations node='diary'><affiliation jid='juliet@verona.test' affiliation='publisher'/></affiliations>",
  );
  expect(await shelf.get(JULIET, '<subscriptions/>')).toContain("subscription='subscribed'");
  expect(shelf.heard('juliet@verona.test').join('\n')).toContain('subscription=subscribed');
});

test('who waits at a node that is open by now needs only to ask again', async () => {
  const shelf = await asked();
  const open = form(NS.pubsubNodeConfig, { access_model: 'open' });
  await shelf.setAsOwner(ROMEO, `<configure node='diary'>${open}</configure>`);
  expect(await shelf.set(JULIET, "<subscribe node='diary' jid='juliet@verona.test'/>")).toMatch(/'subscribed'/);
  expect(shelf.heard('juliet@verona.test')[0]).toContain('subscription=subscribed');
  expect(await shelf.get(JULIET, '<subscriptions/>')).toMatch(/^<subscriptions><subscription [^>]*'subscribed'\/><\//);
});

test('who is banned asks no more', async () => {
  const shelf = await asked();
  await shelf.setAsOwner(
    ROMEO,
    "<affiliations node='diary'><affiliation jid='juliet@verona.test' affiliation='outcast'/></affiliations>",
  );
  expect(await shelf.get(JULIET, '<subscriptions/>')).toBe('<subscriptions/>');
  expect(await shelf.set(JULIET, "<subscribe node='diary' jid='juliet@verona.test'/>")).toBe('forbidden');
});

test('owners need nobody to agree', async () => {
  const shelf = await asked();
  expect(await shelf.set(ROMEO, "<subscribe node='diary' jid='romeo@verona.test'/>")).toContain(
    "subscription='subscribed'",
  );
});
