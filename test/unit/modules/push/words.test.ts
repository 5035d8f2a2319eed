import fc from 'fast-check';
import { expect, test } from 'vitest';
import { isMeant } from '../../../../src/modules/push/mentions.ts';
import { publication } from '../../../../src/modules/push/notification.ts';
import { parseElement } from '../../../../src/xml/document.ts';
import type { BareJid } from '../../../../src/xmpp/jid.ts';
import { NS } from '../../../../src/xmpp/ns.ts';
import { unseal } from '../../../kit/app-server.ts';

const juliet = { bare: 'juliet@verona.test' as BareJid, room: 'coven@rooms.test' as BareJid, nick: 'Jule C' };
const meant = (inner: string, nick: string | undefined = juliet.nick): boolean =>
  isMeant(parseElement(`<message>${inner}</message>`), { ...juliet, nick });

test.each([
  ['Jule C', true],
  ['jule c, hi', true],
  ['@Jule C!', true],
  ['(JULE C)', true],
  ['Jule Capulet', false],
  ['aJule C', false],
  ['Jule Cé', false],
  ['', false],
])('"%s" means her: %s', (text, expected) => {
  expect(meant(`<body>${text}</body>`)).toBe(expected);
});

test.each([
  ['xmpp:juliet@verona.test', 'mention', true],
  ['XMPP:juliet@verona.test?message', 'mention', true],
  ['xmpp:coven@rooms.test/Jule%20C', 'mention', true],
  ['xmpp:juliet@verona.test', 'data', false],
  ['xmpp:nurse@verona.test', 'mention', false],
  ['xmpp:%zz', 'mention', false],
  ['mailto:juliet@verona.test', 'mention', false],
])('%s as a %s means her: %s', (uri, type, expected) => {
  expect(meant(`<reference xmlns='${NS.references}' type='${type}' uri='${uri}'/>`)).toBe(expected);
});

test('without a nick only the address means somebody', () => {
  const said = parseElement(`<message><body>Jule C</body></message>`);
  expect(isMeant(said, { ...juliet, nick: undefined })).toBe(false);
});

test('whatever a text is, what is encrypted fits, and begins as the text does', () => {
  const key = Buffer.alloc(16, 7);
  fc.assert(
    fc.property(
      fc.string({ unit: 'binary', maxLength: 1024 }),
      fc.integer({ min: 300, max: 4000 }),
      (body, maxSize) => {
        const payload = publication(
          { id: 'i', jid: 'push.test', resource: 'r', at: 0, encryption: { key: key.toString('base64'), maxSize } },
          { kind: 'chat', from: 'juliet@verona.test/balcony', key: 'k', body },
          { messages: 12, requests: 0 },
          { sender: false, body: false, placeholder: '' },
        );
        const notification = payload.getChild('publish')!.getChild('item')!.getChild('notification', NS.push)!;
        const encrypted = notification.getChild('encrypted', NS.pushEncryption)!;
        const data = encrypted.getText();
        expect(data.length).toBeLessThanOrEqual(maxSize);
        const { message = '' } = unseal({ iv: encrypted.attrs.iv!, data, type: undefined }, key) as {
          message?: string;
        };
        expect(body.startsWith(message)).toBe(true);
      },
    ),
    { numRuns: 200 },
  );
});

test('no node is named where a client has named none', () => {
  const payload = publication(
    { id: 'i', jid: 'push.test', resource: 'r', at: 0 },
    { kind: 'chat', from: 'a@b', key: 'k' },
    { messages: 1, requests: 0 },
    { sender: true, body: true, placeholder: '' },
  );
  expect(payload.getChild('publish')?.attrs.node).toBeUndefined();
  expect(payload.toXml()).not.toContain('last-message-body');
});
