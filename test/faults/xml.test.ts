// Streams that are broken on purpose (RFC 6120 4.9, 11, 13.12): each ends with the right error, costs nobody else anything, and
// leaves the server as it was.
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { StreamClient } from '../kit/client.ts';
import { logIn } from '../kit/login.ts';
import { TestServer } from '../kit/test-server.ts';
import { ending, expectService, header } from './kit.ts';

const domain = 'chat.example';
let server: TestServer;

beforeAll(async () => {
  server = await TestServer.start({ hosts: { [domain]: {}, 'other.example': {} } });
  await server.server.accounts.create(`romeo@${domain}`, 'secret');
  await server.server.accounts.create(`juliet@${domain}`, 'secret');
});

afterAll(async () => {
  await expectService(server.c2s, domain, 'juliet', 'secret');
  expect(server.errors).toEqual([]);
  await server.stop();
});

const open = header(domain);
const nested = (depth: number): string => `<message>${'<a>'.repeat(depth)}`;
const dtd = (body: string): string =>
  `<?xml version='1.0'?><!DOCTYPE x [${body}]>${open.slice(open.indexOf('?>') + 2)}`;
const laughs = Array.from({ length: 10 }, (_, i) => `<!ENTITY l${i + 1} "${`&l${i};`.repeat(10)}">`).join('');
const attributes = (count: number): string => Array.from({ length: count }, (_, i) => ` a${i}='${i}'`).join('');

describe('before anybody has logged in', () => {
  test.each([
    ['tags that do not match', `${open}<iq></message>`, 'not-well-formed'],
    ['an attribute twice', `${open}<iq id='1' id='2'/>`, 'not-well-formed'],
    ['a bare ampersand', `${open}<iq id='a&b'/>`, 'not-well-formed'],
    ['an undeclared prefix', `${open}<x:iq/>`, 'not-well-formed'],
    [
      'bytes that are not UTF-8',
      Buffer.concat([Buffer.from(`${open}<iq id='`), Buffer.from([0xc3, 0x28])]),
      'unsupported-encoding',
    ],
    ['a character that XML has not', `${open}<iq id='\u0001'/>`, 'not-well-formed'],
    [
      'half a surrogate pair, as bytes',
      Buffer.concat([Buffer.from(open), Buffer.from([0xed, 0xa0, 0x80])]),
      'unsupported-encoding',
    ],
    ['UTF-16', Buffer.from(`\ufeff${open}`, 'utf16le'), undefined],
    ['a comment', `${open}<!-- hello -->`, 'restricted-xml'],
    ['a processing instruction', `${open}<?php exit() ?>`, 'restricted-xml'],
    ['an entity that nobody declared', `${open}<iq id='&lol;'/>`, undefined],
    ['a document type', dtd('<!ELEMENT x ANY>'), 'restricted-xml'],
    ['the billion laughs', dtd(`<!ENTITY l0 "lol">${laughs}`), 'restricted-xml'],
    ['an external entity', dtd('<!ENTITY x SYSTEM "file:///etc/passwd">'), 'restricted-xml'],
    ['20,000 levels', `${open}${nested(20_000)}`, 'policy-violation'],
    ['too many attributes', `${open}<iq${attributes(5_000)}/>`, 'policy-violation'],
    ['a name of 100 kB', `${open}<${'n'.repeat(100_000)}`, 'policy-violation'],
    ['an element of 100 kB', `${open}<iq id='1'>${'x'.repeat(100_000)}</iq>`, 'policy-violation'],
    ['a header of 100 kB', open.replace("to='", `x='${'x'.repeat(100_000)}' to='`), 'policy-violation'],
    ['text between stanzas', `${open}hello`, undefined],
    ['a second XML declaration', `${open}<?xml version='1.0'?>`, undefined],
    ['another root', "<html xmlns='http://www.w3.org/1999/xhtml'>", 'invalid-namespace'],
    ['another content namespace', open.replace('jabber:client', 'jabber:server'), 'invalid-namespace'],
    ['no version', open.replace("version='1.0' xmlns", 'xmlns'), 'unsupported-version'],
    ['a host that is not here', header('elsewhere.example'), 'host-unknown'],
    ['no host at all', header('').replace("to=''", ''), 'improper-addressing'],
    ['a message', `${open}<message to='juliet@${domain}'><body>hi</body></message>`, 'not-authorized'],
    [
      'a request to bind',
      `${open}<iq type='set' id='1'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>`,
      'not-authorized',
    ],
    ['a stream within the stream', `${open}${open.slice(open.indexOf('?>') + 2)}</stream:stream>`, undefined],
    [
      'an error of the peer',
      `${open}<stream:error><conflict xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error></stream:stream>`,
      'closed without a word',
    ],
    ['an end before the beginning', '</stream:stream>', 'not-well-formed'],
  ])('%s', async (_, input, condition) => {
    const client = await StreamClient.connect(server.c2s);
    client.write(input);
    const end = await ending(client);
    if (condition === undefined) expect(end).toMatch(/^[a-z]+(-[a-z]+)+$/);
    else expect(end).toBe(condition);
  });

  test('an element cut off in the middle, then silence, then the end of the connection', async () => {
    const client = await StreamClient.connect(server.c2s);
    client.write(`${open}<iq type='get' id='1'><query xmlns='jab`);
    client.halfClose();
    expect(await ending(client)).toBe('closed without a word');
  });

  test('a whole login, a byte at a time', async () => {
    const client = await StreamClient.connect(server.c2s);
    const auth = `<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>${Buffer.from('\0romeo\0secret').toString('base64')}</auth>`;
    for (const byte of Buffer.from(`${open}${auth}`)) {
      client.write(Buffer.from([byte]));
      await new Promise((resolve) => setImmediate(resolve));
    }
    const names = [];
    for (let i = 0; i < 3; i++) {
      const item = await client.next();
      names.push(item?.kind === 'element' ? item.element.name : item?.kind);
    }
    expect(names).toEqual(['header', 'stream:features', 'success']);
    await client.destroy();
  });
});

describe('after login', () => {
  test.each([
    ['tags that do not match', '<message><body></message>', 'not-well-formed'],
    ['20,000 levels', nested(20_000), 'policy-violation'],
    ['too many attributes', `<message${attributes(5_000)}/>`, 'policy-violation'],
    [
      'a stanza of 1 MB',
      `<message to='juliet@${domain}'><body>${'x'.repeat(1_000_000)}</body></message>`,
      'policy-violation',
    ],
    [
      'a stanza that never ends',
      `<message to='juliet@${domain}'><body>${'<![CDATA[x]]>'.repeat(100_000)}`,
      'policy-violation',
    ],
    ['a document type', '<!DOCTYPE x>', 'restricted-xml'],
    ['an element that is no stanza', "<hello xmlns='urn:example:hello'/>", 'unsupported-stanza-type'],
    [
      'the name of somebody else',
      `<message from='juliet@${domain}' to='juliet@${domain}'><body>me</body></message>`,
      'invalid-from',
    ],
    ['another resource of one’s own', `<message from='romeo@${domain}/other' to='juliet@${domain}'/>`, 'invalid-from'],
    [
      'a login once more',
      "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>AGEAYg==</auth>",
      undefined,
    ],
    ['TLS once more', "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>", undefined],
  ])('%s', async (_, input, condition) => {
    const { client } = await logIn(server.c2s, { user: 'romeo', password: 'secret', domain });
    client.write(input);
    const end = await ending(client);
    if (condition === undefined) expect(end).toMatch(/^[a-z]+(-[a-z]+)+$/);
    else expect(end).toBe(condition);
  });

  test('a header for another host does not change who one is', async () => {
    const client = await StreamClient.connect(server.c2s);
    client.write(open);
    await client.next();
    await client.next();
    client.write(
      `<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>${Buffer.from('\0romeo\0secret').toString('base64')}</auth>`,
    );
    await client.next();
    client.restart();
    client.write(header('other.example'));
    expect(await ending(client)).toBe('not-authorized');
  });

  test('stanzas that make no sense are answered, and the stream goes on', async () => {
    const { client } = await logIn(server.c2s, { user: 'romeo', password: 'secret', domain });
    const nonsense = [
      '<iq/>',
      "<iq type='get'/>",
      "<iq type='get' id='1'/>",
      "<iq type='get' id='2'><a xmlns='urn:a'/><b xmlns='urn:b'/></iq>",
      "<iq type='dance' id='3'><a xmlns='urn:a'/></iq>",
      "<iq type='result' id='4'/>",
      "<iq type='error' id='5'/>",
      "<message type='dance'/>",
      "<message to='@'/>",
      "<message to='a@b@c'><body/></message>",
      `<message to='${'x'.repeat(2000)}@${domain}'><body/></message>`,
      "<message to='__proto__@constructor'><body/></message>",
      "<presence type='dance'/>",
      '<presence><priority>999</priority></presence>',
      '<presence><priority>NaN</priority></presence>',
      `<presence to='juliet@${domain}' type='probe'/>`,
      `<presence to='romeo@${domain}' type='subscribe'/>`,
      "<iq type='set' id='6'><query xmlns='jabber:iq:roster'><item jid='@@'/></query></iq>",
      "<iq type='set' id='7'><query xmlns='jabber:iq:roster'><item/></query></iq>",
      "<iq type='set' id='8'><query xmlns='jabber:iq:private'/></iq>",
      "<iq type='set' id='__proto__'><query xmlns='jabber:iq:private'><x xmlns='__proto__'/></query></iq>",
      "<iq type='set' id='9'><session xmlns='urn:ietf:params:xml:ns:xmpp-session'/></iq>",
      "<iq type='set' id='10'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>",
    ];
    for (const text of nonsense) {
      client.write(text);
      await client.fence();
      expect(client.isClosed, text).toBe(false);
    }
    await client.destroy();
  });
});
