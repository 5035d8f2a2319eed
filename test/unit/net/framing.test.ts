// How elements are written without a root around them (RFC 7395 3.3.3).
import { describe, expect, test } from 'vitest';
import { documentFraming, frameFraming } from '../../../src/net/framing.ts';
import { serialiseStreamElement } from '../../../src/net/stream.ts';
import { parseElement } from '../../../src/xml/document.ts';
import { el } from '../../../src/xml/element.ts';
import { StreamError } from '../../../src/xmpp/errors.ts';
import { NS } from '../../../src/xmpp/ns.ts';

describe('in a frame', () => {
  test.each([
    ['<message/>', "<message xmlns='jabber:client'/>"],
    ["<message to='a@b'><body>x</body></message>", "<message xmlns='jabber:client' to='a@b'><body>x</body></message>"],
    ["<iq><query xmlns='jabber:iq:roster'/></iq>", "<iq xmlns='jabber:client'><query xmlns='jabber:iq:roster'/></iq>"],
    ["<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>", "<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>"],
    ["<message xmlns:a1='urn:x' a1:b='c'/>", "<message xmlns='jabber:client' xmlns:a1='urn:x' a1:b='c'/>"],
  ])('%s becomes a document', (inside, alone) => {
    expect(frameFraming.element(inside)).toBe(alone);
  });

  test('what the stream itself says declares its prefix', () => {
    const error = frameFraming.element(serialiseStreamElement(new StreamError('conflict').toElement()));
    expect(error).toBe(
      `<stream:error xmlns:stream='${NS.stream}'><conflict xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>`,
    );
    expect(parseElement(error).is('error', NS.stream)).toBe(true);
  });

  test('an element means the same alone as inside a stream, foreign content and neutral content in it', () => {
    const inner = el('message', null, { to: 'a@b' }, el('body', null, undefined, '</message> xmlns='));
    const element = el('message', null, { id: "'>" }, el('forwarded', 'urn:xmpp:forward:0', undefined, inner));
    // no default namespace around it: it has to bring its own
    const alone = parseElement(frameFraming.element(element.toXml()), '');
    expect(alone.ns).toBe(NS.client);
    expect(parseElement(frameFraming.element(element.toXml())).toXml()).toBe(element.toXml());
  });

  test('header and end are elements of the framing', () => {
    expect(frameFraming.header({ from: "o'hara.test", to: undefined, version: '1.0' })).toBe(
      "<open xmlns='urn:ietf:params:xml:ns:xmpp-framing' from='o&apos;hara.test' version='1.0'/>",
    );
    expect(frameFraming.end).toBe("<close xmlns='urn:ietf:params:xml:ns:xmpp-framing'/>");
  });
});

test('in a document nothing is added to elements', () => {
  const framing = documentFraming(NS.client);
  expect(framing.element('<message/>')).toBe('<message/>');
  expect(framing.header({ from: 'verona.test' }) + framing.end).toBe(
    `<?xml version='1.0'?><stream:stream xmlns='jabber:client' xmlns:stream='${NS.stream}' from='verona.test'></stream:stream>`,
  );
});
