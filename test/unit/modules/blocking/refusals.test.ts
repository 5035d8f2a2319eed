// Who is answered how, where somebody is blocked.
import { expect, test } from 'vitest';
import { BlockList } from '../../../../src/modules/blocking/list.ts';
import { isBlocked, judgeIq, judgeMessage, tellsOfBlocking } from '../../../../src/modules/blocking/refusals.ts';
import { parseElement } from '../../../../src/xml/document.ts';
import { StanzaError } from '../../../../src/xmpp/errors.ts';
import { Jid } from '../../../../src/xmpp/jid.ts';
import { errorReply, type Iq, type Message, type Stanza, stanzaOf } from '../../../../src/xmpp/stanza.ts';

const list = new BlockList(['juliet@verona.test', 'coven@rooms.test/nurse']);

function stanza(xml: string): Stanza {
  const element = parseElement(xml);
  return stanzaOf(element, Jid.parse(element.attrs.from!)!, Jid.parse('romeo@verona.test/orchard')!);
}
const verdict = (given: ReturnType<typeof judgeMessage>): string | undefined =>
  given instanceof StanzaError ? given.condition : given;

const MUC = "<x xmlns='http://jabber.org/protocol/muc#user'/>";

test.each([
  ["<message from='juliet@verona.test/x' type='chat'><body/></message>", 'service-unavailable'],
  ["<message from='juliet@verona.test/x'><body/></message>", 'service-unavailable'],
  ["<message from='juliet@verona.test/x' type='headline'/>", 'handled'],
  ["<message from='juliet@verona.test/x' type='groupchat'/>", 'handled'],
  ["<message from='juliet@verona.test/x' type='error'><error type='cancel'/></message>", 'handled'],
  ["<message from='coven@rooms.test/nurse' type='groupchat'/>", 'handled'],
  [`<message from='coven@rooms.test/nurse' type='chat'><body/>${MUC}</message>`, 'not-acceptable'],
  [`<message from='juliet@verona.test' type='chat'><body/>${MUC}</message>`, 'service-unavailable'],
  [`<message from='coven@rooms.test/friar' type='chat'><body/>${MUC}</message>`, undefined],
  [
    "<message from='coven@rooms.test'><x xmlns='http://jabber.org/protocol/muc#user'><invite from='juliet@verona.test/x'/></x></message>",
    'service-unavailable',
  ],
  [
    "<message from='coven@rooms.test'><x xmlns='http://jabber.org/protocol/muc#user'><invite from='a b'/></x></message>",
    undefined,
  ],
])('%s: %s', (xml, expected) => {
  expect(verdict(judgeMessage(list, stanza(xml) as Message, false))).toBe(expected);
  if (xml.includes('juliet@verona.test/x') && xml.includes('<body'))
    expect(verdict(judgeMessage(list, stanza(xml) as Message, true))).toBe('handled');
});

test.each([
  ['get', 'service-unavailable'],
  ['set', 'service-unavailable'],
  ['result', 'handled'],
  ['error', 'handled'],
])('a request or an answer is stopped: %s', (type, expected) => {
  const iq = stanza(`<iq from='juliet@verona.test/x' id='1' type='${type}'><x xmlns='urn:x'/></iq>`) as Iq;
  expect(verdict(judgeIq(list, iq))).toBe(expected);
  expect(judgeIq(new BlockList(['a.test']), iq)).toBeUndefined();
});

test("the server's own word of it is known, and nothing that says more", () => {
  for (const sent of [
    "<message id='1' type='chat'/>",
    "<iq id='1' type='get'><x xmlns='urn:x'/></iq>",
    '<presence/>',
    "<presence><x xmlns='http://jabber.org/protocol/muc'/></presence>",
  ]) {
    const reply = errorReply(parseElement(sent), 'juliet@verona.test', 'romeo@verona.test/orchard', isBlocked())!;
    const from = Jid.parse('juliet@verona.test')!;
    const to = Jid.parse('romeo@verona.test/orchard')!;
    expect(tellsOfBlocking(stanzaOf(reply, from, to))).toBe(true);
    expect(tellsOfBlocking(stanzaOf(reply.append(parseElement('<body>x</body>')), from, to))).toBe(false);
  }
  const head = "<message from='juliet@verona.test' type='error'>";
  const conditions =
    "<not-acceptable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/><blocked xmlns='urn:xmpp:blocking:errors'/>";
  expect(tellsOfBlocking(stanza(`${head}<error>${conditions}</error></message>`))).toBe(true);
  for (const xml of [
    `${head}<error>${conditions}x</error></message>`,
    `${head}<error>${conditions}<text xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'>x</text></error></message>`,
    `${head}<error>${conditions}</error>x</message>`,
    `${head}<error>${conditions}</error><error>x</error></message>`,
    `${head}<error>${conditions.replace("stanzas'/>", "stanzas'>x</not-acceptable>")}</error></message>`,
    `${head}</message>`,
    `<message from='juliet@verona.test' type='chat'><error>${conditions}</error></message>`,
  ]) {
    expect(tellsOfBlocking(stanza(xml)), xml).toBe(false);
  }
});
