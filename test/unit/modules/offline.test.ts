import { describe, expect, test } from 'vitest';
import { isWorthKeeping } from '../../../src/modules/offline.ts';
import { parseElement } from '../../../src/xml/document.ts';
import { Jid } from '../../../src/xmpp/jid.ts';
import { messageOf } from '../../../src/xmpp/stanza.ts';

const jid = Jid.parse('romeo@example.net')!;
const keeps = (xml: string): boolean => isWorthKeeping(messageOf(parseElement(xml), jid, jid));

describe('a message is kept for later', () => {
  test.each([
    "<message type='chat'><body>hi</body></message>",
    '<message><body>hi</body></message>',
    '<message><subject>hi</subject></message>',
    // a payload that somebody else understands
    "<message type='chat'><encrypted xmlns='eu.siacs.conversations.axolotl'/></message>",
    "<message type='chat'><composing xmlns='http://jabber.org/protocol/chatstates'/><store xmlns='urn:xmpp:hints'/></message>",
    // XEP-0334 4.1 speaks of archives only
    "<message type='chat'><body>hi</body><no-permanent-store xmlns='urn:xmpp:hints'/></message>",
  ])('%s', (xml) => {
    expect(keeps(xml)).toBe(true);
  });
});

describe('a message is not kept', () => {
  test.each([
    // XEP-0160 3
    "<message type='chat'><composing xmlns='http://jabber.org/protocol/chatstates'/></message>",
    "<message type='chat'><thread>t</thread><active xmlns='http://jabber.org/protocol/chatstates'/></message>",
    "<message type='chat'/>",
    "<message type='headline'><body>hi</body></message>",
    "<message type='groupchat'><body>hi</body></message>",
    "<message type='error'><body>hi</body></message>",
    // XEP-0334 4.2
    "<message type='chat'><body>hi</body><no-store xmlns='urn:xmpp:hints'/></message>",
    "<message type='error'><body>hi</body><store xmlns='urn:xmpp:hints'/></message>",
  ])('%s', (xml) => {
    expect(keeps(xml)).toBe(false);
  });
});
