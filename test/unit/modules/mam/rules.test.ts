import { describe, expect, test } from 'vitest';
import { isWorthArchiving } from '../../../../src/modules/mam/rules.ts';
import { parseElement } from '../../../../src/xml/document.ts';
import { Jid } from '../../../../src/xmpp/jid.ts';
import { messageOf } from '../../../../src/xmpp/stanza.ts';

const romeo = Jid.parse('romeo@example.net/orchard')!;
const juliet = Jid.parse('juliet@example.net')!;
const isKept = (type: string, xml: string): boolean =>
  isWorthArchiving(messageOf(parseElement(`<message type='${type}'>${xml}</message>`), romeo, juliet));

const hint = (name: string): string => `<${name} xmlns='urn:xmpp:hints'/>`;
const state = "<composing xmlns='http://jabber.org/protocol/chatstates'/>";
const body = '<body>Lady</body>';

describe('is archived, of type chat and normal', () => {
  test.each([
    ['a body', body],
    ['an empty body', '<body/>'],
    ['a subject', '<subject>Verona</subject>'],
    ['a body with a chat state', `${body}<active xmlns='http://jabber.org/protocol/chatstates'/>`],
    ['a chat state that shall be stored', state + hint('store')],
    ['something unknown that shall be stored', `<x xmlns='urn:example'/>${hint('store')}`],
    ['OMEMO', "<encrypted xmlns='urn:xmpp:omemo:2'/>"],
    ['OMEMO as it was', "<encrypted xmlns='eu.siacs.conversations.axolotl'/>"],
    ['OpenPGP (XEP-0373)', "<openpgp xmlns='urn:xmpp:openpgp:0'>BASE64</openpgp>"],
    ['OpenPGP as it was (XEP-0027)', "<x xmlns='jabber:x:encrypted'>BASE64</x>"],
    ['whatever is encrypted (XEP-0380)', "<encryption xmlns='urn:xmpp:eme:0' namespace='urn:example'/>"],
    ['a receipt (XEP-0184)', "<received xmlns='urn:xmpp:receipts' id='1'/>"],
    ['a marker (XEP-0333)', "<displayed xmlns='urn:xmpp:chat-markers:0' id='1'/>"],
    ['a correction (XEP-0308)', "<replace xmlns='urn:xmpp:message-correct:0' id='1'/>"],
    ['reactions (XEP-0444)', "<reactions xmlns='urn:xmpp:reactions:0' id='1'><reaction>+</reaction></reactions>"],
    ['no reactions any more', "<reactions xmlns='urn:xmpp:reactions:0' id='1'/>"],
    ['a retraction (XEP-0424)', "<retract xmlns='urn:xmpp:message-retract:1' id='1'/>"],
    [
      'a retraction as it was',
      "<apply-to xmlns='urn:xmpp:fasten:0' id='1'><retract xmlns='urn:xmpp:message-retract:0'/></apply-to>",
    ],
    ['a call (XEP-0353)', "<propose xmlns='urn:xmpp:jingle-message:0' id='1'/>"],
    ['the end of a call (XEP-0353)', "<finish xmlns='urn:xmpp:jingle-message:0' id='1'/>"],
    ['an invitation to a call (XEP-0482)', "<invite xmlns='urn:xmpp:call-invites:0'/>"],
    ['an invitation to a room (XEP-0249)', "<x xmlns='jabber:x:conference' jid='room@chat.example'/>"],
    [
      "a room's invitation (XEP-0045)",
      "<x xmlns='http://jabber.org/protocol/muc#user'><invite from='a@b.example'/></x>",
    ],
    [
      "a room's word of a refusal (XEP-0045)",
      "<x xmlns='http://jabber.org/protocol/muc#user'><decline from='a@b.example'/></x>",
    ],
    ['a private message in a room', `${body}<x xmlns='http://jabber.org/protocol/muc#user'/>`],
    ['a file (XEP-0066)', "<x xmlns='jabber:x:oob'><url>https://example.org</url></x>"],
    ['a file (XEP-0447)', "<file-sharing xmlns='urn:xmpp:sfs:0'/>"],
    ['a reference, with media perhaps (XEP-0372, XEP-0385)', "<reference xmlns='urn:xmpp:reference:0' type='data'/>"],
  ])('%s', (_what, xml) => {
    expect(isKept('chat', xml)).toBe(true);
    expect(isKept('normal', xml)).toBe(true);
    // RFC 6121 5.2.2: an unknown type is normal
    expect(isKept('whisper', xml)).toBe(true);
  });
});

describe('is not archived, of type chat and normal', () => {
  test.each([
    ['nothing', ''],
    ['white space', ' \n '],
    ['a chat state (XEP-0085)', state],
    ['a thread with a chat state', `<thread>t</thread>${state}`],
    ['ids', "<origin-id xmlns='urn:xmpp:sid:0' id='1'/>"],
    ['an event (XEP-0060)', "<event xmlns='http://jabber.org/protocol/pubsub#event'/>"],
    ['something unknown', "<x xmlns='urn:example'><body>x</body></x>"],
    [
      'the body of something else',
      "<html xmlns='http://jabber.org/protocol/xhtml-im'><body xmlns='http://www.w3.org/1999/xhtml'/></html>",
    ],
    ["news of a room's settings", "<x xmlns='http://jabber.org/protocol/muc#user'><status code='104'/></x>"],
    ['a body that shall not be stored', body + hint('no-store')],
    ['a body that shall not be kept', body + hint('no-permanent-store')],
    ['what shall be stored, and shall not', body + hint('store') + hint('no-store')],
    ['a receipt that shall not be stored', `<received xmlns='urn:xmpp:receipts' id='1'/>${hint('no-store')}`],
  ])('%s', (_what, xml) => {
    expect(isKept('chat', xml)).toBe(false);
    expect(isKept('normal', xml)).toBe(false);
  });
});

test.each([
  ['a body', body],
  ['a body that shall be stored', body + hint('store')],
  ['an invitation', "<x xmlns='jabber:x:conference' jid='room@chat.example'/>"],
])('errors and what is said in rooms are not archived, whatever is in them: %s', (_what, xml) => {
  expect(isKept('error', xml)).toBe(false);
  expect(isKept('groupchat', xml)).toBe(false);
});

test('headlines are archived only where they ask for it', () => {
  expect(isKept('headline', body)).toBe(false);
  expect(isKept('headline', body + hint('store'))).toBe(true);
});
