import { describe, expect, test } from 'vitest';
import { type Category, ends, judge, type Patient, type Reader } from '../../../../src/modules/csi/worth.ts';
import { parseElement } from '../../../../src/xml/document.ts';
import { type BareJid, Jid } from '../../../../src/xmpp/jid.ts';
import { type Stanza, stanzaOf } from '../../../../src/xmpp/stanza.ts';

const all: ReadonlySet<Category> = new Set(['presence', 'typing', 'events', 'receipts', 'groupchat']);
const usual: ReadonlySet<Category> = new Set(['presence', 'typing', 'events', 'receipts']);

const phone = Jid.parse('romeo@verona.test/phone')!;
const reader: Reader = {
  jid: phone,
  nickIn: (room: BareJid) => (room === 'ball@rooms.test' ? 'Mountain Goat' : undefined),
};

function stanza(xml: string): Stanza {
  const element = parseElement(xml);
  const from = Jid.parse(element.attrs.from ?? 'juliet@capulet.test/balcony')!;
  return stanzaOf(element, from, Jid.parse(element.attrs.to ?? 'romeo@verona.test')!);
}
const judged = (xml: string, holds: ReadonlySet<Category> = usual): Patient | undefined =>
  judge(stanza(xml), reader, holds);
const keyOf = (xml: string): string | undefined => judged(xml, all)?.key;

const state = (name: string): string => `<${name} xmlns='http://jabber.org/protocol/chatstates'/>`;
const marker = (name: string, id = 'a'): string => `<${name} xmlns='urn:xmpp:chat-markers:0' id='${id}'/>`;
const receipt = "<received xmlns='urn:xmpp:receipts' id='a'/>";
const body = '<body>hi</body>';
const status = (code: number): string =>
  `<x xmlns='http://jabber.org/protocol/muc#user'><item/><status code='${code}'/></x>`;
const event = (inside: string): string => `<event xmlns='http://jabber.org/protocol/pubsub#event'>${inside}</event>`;
const published = (node: string, id = 'current'): string => event(`<items node='${node}'><item id='${id}'/></items>`);
const inRoom = (inside: string, from = 'ball@rooms.test/Tybalt'): string =>
  `<message type='groupchat' from='${from}'>${inside}</message>`;
const copy = (direction: string, message: string, from = 'romeo@verona.test'): string =>
  `<message type='chat' from='${from}'><${direction} xmlns='urn:xmpp:carbons:2'><forwarded xmlns='urn:xmpp:forward:0'>${message.replace('<message', "<message xmlns='jabber:client'")}</forwarded></${direction}></message>`;
const sent = (inside: string): string =>
  copy(
    'sent',
    `<message type='chat' from='romeo@verona.test/desk' to='juliet@capulet.test/balcony'>${inside}</message>`,
  );
const received = (inside: string): string =>
  copy(
    'received',
    `<message type='chat' from='juliet@capulet.test/balcony' to='romeo@verona.test/desk'>${inside}</message>`,
  );

describe('it is worth waking a phone for', () => {
  test.each([
    // somebody waits for an answer, or this is one
    ['a request', "<iq type='get' id='a'><query xmlns='jabber:iq:version'/></iq>"],
    ['a result', "<iq type='result' id='a'/>"],
    ['an IQ error', "<iq type='error' id='a'/>"],
    // people ask
    ['a request for presence', "<presence type='subscribe'/>"],
    ['its answer', "<presence type='subscribed'/>"],
    ['a refusal', "<presence type='unsubscribed'/>"],
    ['the end of a subscription', "<presence type='unsubscribe'/>"],
    // what this client did had no success
    ['an error of presence', "<presence type='error'/>"],
    ['a message that failed', "<message type='error'><body>hi</body></message>"],
    ['a chat state that failed', `<message type='error'>${state('active')}</message>`],
    // whether this client is in a room
    ['its own entry into a room', `<presence from='ball@rooms.test/me'>${status(110)}</presence>`],
    [
      'its presence in a room',
      "<presence from='ball@rooms.test/Mountain Goat'><x xmlns='http://jabber.org/protocol/muc#user'/></presence>",
    ],
    ['its expulsion', `<presence type='unavailable' from='ball@rooms.test/Mountain Goat'>${status(307)}</presence>`],
    [
      'the end of the room',
      "<presence type='unavailable' from='b@rooms.test/x'><x xmlns='http://jabber.org/protocol/muc#user'><destroy/></x></presence>",
    ],
    // what people say
    ['a message', `<message type='chat'>${body}</message>`],
    ['a message without a type', `<message>${body}</message>`],
    ['a subject', '<message><subject>hi</subject></message>'],
    ['a correction', `<message type='chat'>${body}<replace xmlns='urn:xmpp:message-correct:0' id='a'/></message>`],
    ['a retraction', "<message type='chat'><retract xmlns='urn:xmpp:message-retract:1' id='a'/></message>"],
    [
      'a reaction between two',
      "<message type='chat'><reactions xmlns='urn:xmpp:reactions:0' id='a'><reaction>x</reaction></reactions></message>",
    ],
    ['a call for attention', "<message type='headline'><body>The house is on fire</body></message>"],
    ['a file', "<message type='chat'><x xmlns='jabber:x:oob'><url>https://a.example</url></x></message>"],
    ['what nobody knows', "<message><x xmlns='urn:example'/></message>"],
    ['a form', "<message><x xmlns='jabber:x:data' type='form'/></message>"],
    // encrypted: it may be anything
    [
      'encrypted',
      "<message type='chat'><encryption xmlns='urn:xmpp:eme:0' namespace='urn:example'/><store xmlns='urn:xmpp:hints'/></message>",
    ],
    [
      'OMEMO',
      "<message type='chat'><encrypted xmlns='urn:xmpp:omemo:2'><header/><payload>a</payload></encrypted></message>",
    ],
    [
      'OMEMO, as it was',
      "<message type='chat'><encrypted xmlns='eu.siacs.conversations.axolotl'><header/><payload>a</payload></encrypted></message>",
    ],
    ['OpenPGP', "<message type='chat'><openpgp xmlns='urn:xmpp:openpgp:0'>a</openpgp></message>"],
    // it rings, or stops ringing
    ['a call', "<message type='chat'><propose xmlns='urn:xmpp:jingle-message:0' id='a'/></message>"],
    ['the end of its ringing', "<message type='chat'><retract xmlns='urn:xmpp:jingle-message:0' id='a'/></message>"],
    ['a call taken elsewhere', sent("<proceed xmlns='urn:xmpp:jingle-message:0' id='a'/>")],
    ['an invitation to a call', inRoom("<body>call</body><invite xmlns='urn:xmpp:call-invites:0' id='a'/>")],
    // invitations
    [
      'an invitation',
      "<message><x xmlns='http://jabber.org/protocol/muc#user'><invite from='a@b.example'/></x></message>",
    ],
    [
      'its refusal',
      "<message><x xmlns='http://jabber.org/protocol/muc#user'><decline from='a@b.example'/></x></message>",
    ],
    ['a direct invitation', "<message><x xmlns='jabber:x:conference' jid='a@b.example'/></message>"],
    // what the client asked for
    ['a result of a query', "<message><result xmlns='urn:xmpp:mam:2' id='a'/></message>"],
    // rooms
    ['a message in a room', inRoom(body)],
    ['the subject of a room', inRoom('<subject/>', 'ball@rooms.test')],
    // copies of all this
    ['a copy of what was received', received(body)],
    ['a copy of what was sent', sent(body)],
    // read on another device: what was notified of here can go
    ['a copy of a marker', sent(marker('displayed'))],
    ['a copy of a focus', sent(state('active'))],
    ['a marker of its own in a room', inRoom(marker('displayed'), 'ball@rooms.test/Mountain Goat')],
    [
      'how far was read',
      `<message type='headline' from='romeo@verona.test'>${published('urn:xmpp:mds:displayed:0', 'a')}</message>`,
    ],
    // copies come from the own account only
    ['a copy by somebody else', copy('received', `<message>${state('active')}</message>`, 'eve@evil.test')],
    // with what can wait beside it
    ['a message with a chat state', `<message type='chat'>${state('active')}${body}</message>`],
    ['a receipt with a message', `<message type='chat'>${receipt}${body}</message>`],
    ['a text beside a normal event', `<message>${published('a')}${body}</message>`],
  ])('%s', (_, xml) => {
    expect(judged(xml)).toBeUndefined();
    if (!xml.includes('groupchat')) expect(judged(xml, all)).toBeUndefined();
  });
});

describe('it can wait', () => {
  test.each<[string, Category, string]>([
    ['presence', 'presence', '<presence><show>away</show></presence>'],
    ['absence', 'presence', "<presence type='unavailable'/>"],
    ['presence in a room', 'presence', `<presence from='ball@rooms.test/Tybalt'>${status(100)}</presence>`],
    ['a chat state', 'typing', `<message type='chat'>${state('composing')}</message>`],
    ['a chat state in a thread', 'typing', `<message type='chat'>${state('composing')}<thread>t</thread></message>`],
    [
      'a chat state and what is said about it',
      'typing',
      `<message type='chat'>${state('gone')}<no-store xmlns='urn:xmpp:hints'/><origin-id xmlns='urn:xmpp:sid:0' id='a'/><private xmlns='urn:xmpp:carbons:2'/></message>`,
    ],
    [
      'a chat state in a room',
      'typing',
      inRoom(`${state('composing')}<occupant-id xmlns='urn:xmpp:occupant-id:0' id='a'/>`),
    ],
    [
      'a chat state of an occupant',
      'typing',
      `<message type='chat' from='ball@rooms.test/Tybalt'>${state('composing')}<x xmlns='http://jabber.org/protocol/muc#user'/></message>`,
    ],
    ['nothing at all', 'typing', "<message type='chat'/>"],
    ['an empty body', 'typing', "<message type='chat'><body/></message>"],
    ['a copy of a chat state', 'typing', received(state('composing'))],
    ['a copy of writing', 'typing', sent(state('composing'))],
    ['a receipt', 'receipts', `<message type='chat'>${receipt}</message>`],
    ['a receipt without a type', 'receipts', `<message>${receipt}</message>`],
    ['a copy of a receipt', 'receipts', received(receipt)],
    ['a marker', 'receipts', `<message type='chat'>${marker('displayed')}<store xmlns='urn:xmpp:hints'/></message>`],
    ['a marker in a room', 'receipts', inRoom(marker('displayed'))],
    [
      'a reaction in a room',
      'receipts',
      inRoom("<reactions xmlns='urn:xmpp:reactions:0' id='a'><reaction>x</reaction></reactions>"),
    ],
    ['keys', 'receipts', "<message type='chat'><encrypted xmlns='urn:xmpp:omemo:2'><header/></encrypted></message>"],
    [
      'keys, as they were',
      'receipts',
      "<message type='chat'><encrypted xmlns='eu.siacs.conversations.axolotl'><header/></encrypted></message>",
    ],
    ['an event', 'events', `<message type='headline'>${published('http://jabber.org/protocol/tune')}</message>`],
    ['an event with a text', 'events', `<message type='headline'>${published('a')}${body}</message>`],
    ['an event of type normal', 'events', `<message>${published('a')}</message>`],
    ['a deleted node', 'events', `<message type='headline'>${event("<delete node='a'/>")}</message>`],
    [
      "how far somebody else's account says it was read",
      'events',
      `<message type='headline' from='juliet@capulet.test'>${published('urn:xmpp:mds:displayed:0')}</message>`,
    ],
    ['a headline for machines', 'events', "<message type='headline'><x xmlns='urn:example'/></message>"],
    ['a new setting of a room', 'typing', inRoom(status(104), 'ball@rooms.test')],
  ])('%s', (_, category, xml) => {
    expect(judged(xml)?.category).toBe(category);
    expect(judged(xml, new Set([...all].filter((one) => one !== category)))).toBeUndefined();
  });
});

describe('in rooms whose messages can wait', () => {
  test.each([
    ['others talk', body],
    ['others talk, with all that comes along', `${body}<x xmlns='urn:example'/>${marker('markable')}`],
    ['somebody else is answered', `${body}<reply xmlns='urn:xmpp:reply:0' to='ball@rooms.test/Tybalt' id='a'/>`],
  ])('%s', (_, inside) => {
    expect(judged(inRoom(inside), all)?.category).toBe('groupchat');
  });

  test.each([
    ['the name is', '<body>what about ROMEO?</body>'],
    ['the nickname is', '<body>mountain goat, come here</body>'],
    [
      'the account is',
      `${body}<reference xmlns='urn:xmpp:reference:0' type='mention' uri='xmpp:romeo@verona.test' begin='0' end='2'/>`,
    ],
    [
      'the occupant is',
      `${body}<reference xmlns='urn:xmpp:reference:0' type='mention' uri='xmpp:ball@rooms.test/Mountain Goat'/>`,
    ],
    ['an answer does', `${body}<reply xmlns='urn:xmpp:reply:0' to='ball@rooms.test/Mountain Goat' id='a'/>`],
    ['nobody can read who is', `${body}<encryption xmlns='urn:xmpp:eme:0' namespace='urn:example'/>`],
    ['an invitation is for all', `${body}<x xmlns='jabber:x:conference' jid='a@b.example'/>`],
    ['the subject changes', `${body}<subject>hi</subject>`],
  ])('but not where the reader is meant: %s', (_, inside) => {
    expect(judged(inRoom(inside), all)).toBeUndefined();
  });

  test('nor in private', () => {
    const xml = `<message type='chat' from='ball@rooms.test/Tybalt'>${body}<x xmlns='http://jabber.org/protocol/muc#user'/></message>`;
    expect(judged(xml, all)).toBeUndefined();
  });
});

describe('one replaces the other', () => {
  const same: [string, string, string][] = [
    ['presence', '<presence/>', "<presence type='unavailable'/>"],
    ['chat states', `<message>${state('composing')}</message>`, `<message type='chat'>${state('paused')}</message>`],
    [
      'chat states that reach another device',
      `<message type='chat'>${state('composing')}</message>`,
      received(state('paused')),
    ],
    ['chat states of ours', sent(state('composing')), sent(state('gone'))],
    [
      'markers',
      `<message>${marker('displayed', 'a')}</message>`,
      `<message>${marker('displayed', 'b')}<store xmlns='urn:xmpp:hints'/></message>`,
    ],
    [
      'the only item of a node',
      `<message type='headline'>${published('urn:xmpp:avatar:metadata', 'a')}</message>`,
      `<message type='headline'>${published('urn:xmpp:avatar:metadata', 'b')}</message>`,
    ],
    [
      'one item, and its end',
      `<message type='headline'>${published('urn:xmpp:bookmarks:1', 'a@b')}</message>`,
      `<message type='headline'>${event("<items node='urn:xmpp:bookmarks:1'><retract id='a@b'/></items>")}</message>`,
    ],
    [
      'reactions to one message',
      inRoom("<reactions xmlns='urn:xmpp:reactions:0' id='a'><reaction>x</reaction></reactions>"),
      inRoom("<reactions xmlns='urn:xmpp:reactions:0' id='a'/>"),
    ],
  ];
  test.each(same)('%s', (_, first, second) => {
    expect(keyOf(first)).toBeDefined();
    expect(keyOf(second)).toBe(keyOf(first));
  });

  const different: [string, string, string][] = [
    ['presence of two resources', '<presence/>', "<presence from='juliet@capulet.test/garden'/>"],
    [
      'chat states in two threads',
      `<message>${state('composing')}<thread>a</thread></message>`,
      `<message>${state('composing')}<thread>b</thread></message>`,
    ],
    ['what was received and what was sent', received(state('composing')), sent(state('composing'))],
    ['chat states and markers', `<message>${state('active')}</message>`, `<message>${marker('displayed')}</message>`],
    ['different markers', `<message>${marker('received')}</message>`, `<message>${marker('displayed')}</message>`],
    [
      'items of one node',
      `<message type='headline'>${published('urn:xmpp:bookmarks:1', 'a@b')}</message>`,
      `<message type='headline'>${published('urn:xmpp:bookmarks:1', 'c@d')}</message>`,
    ],
    [
      'nodes of one account',
      `<message type='headline'>${published('a')}</message>`,
      `<message type='headline'>${published('b')}</message>`,
    ],
    [
      'nodes of two accounts',
      `<message type='headline' from='a@b.test'>${published('a')}</message>`,
      `<message type='headline' from='c@d.test'>${published('a')}</message>`,
    ],
    // a retraction of the old item may come after the new one
    [
      'the only item of a node, and the end of another',
      `<message type='headline'>${published('urn:xmpp:avatar:metadata', 'b')}</message>`,
      `<message type='headline'>${event("<items node='urn:xmpp:avatar:metadata'><retract id='a'/></items>")}</message>`,
    ],
  ];
  test.each(different)('but not %s', (_, first, second) => {
    expect(keyOf(second)).not.toBe(keyOf(first));
  });

  test.each([
    ['receipts, each of another message', `<message>${receipt}</message>`],
    ['empty messages', '<message/>'],
    ['a receipt and a marker in one', `<message>${receipt}${marker('displayed')}</message>`],
    ['a marker and a chat state in one', `<message>${marker('displayed')}${state('active')}</message>`],
    ['items without an id', `<message type='headline'>${event("<items node='a'><item/></items>")}</message>`],
    [
      'several things in one event',
      `<message type='headline'>${event("<items node='a'/><purge node='a'/>")}</message>`,
    ],
    ['a purged node', `<message type='headline'>${event("<purge node='a'/>")}</message>`],
    ['messages in a room', inRoom(body)],
  ])('and never %s', (_, xml) => {
    expect(judged(xml, all)).toBeDefined();
    expect(keyOf(xml)).toBeUndefined();
  });
});

describe('writing is over with the message', () => {
  const endsTyping = (message: string, typing: string): boolean =>
    ends(stanza(message), judged(message, all), reader) === keyOf(typing);

  test.each([
    ['between two', `<message type='chat'>${body}</message>`, `<message type='chat'>${state('composing')}</message>`],
    ['on another device', received(body), received(state('composing'))],
    ['our own', sent(body), sent(state('composing'))],
    ['in a room', inRoom('<body>romeo!</body>'), inRoom(state('composing'))],
    ['in a room that can wait', inRoom(body), inRoom(state('composing'))],
  ])('%s', (_, message, typing) => {
    expect(endsTyping(message, typing)).toBe(true);
  });

  test.each([
    ['of somebody else', "<message from='nurse@capulet.test/x'><body>hi</body></message>"],
    ['with an answer of ours', sent(body)],
    ['with a receipt', `<message>${receipt}</message>`],
    ['with an error', "<message type='error'/>"],
    ['with presence', '<presence/>'],
  ])('but not %s', (_, message) => {
    expect(endsTyping(message, `<message type='chat'>${state('composing')}</message>`)).toBe(false);
  });
});
