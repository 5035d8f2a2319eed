// Stanzas of the sizes that servers see most.

const fingerprint = 'QmFzZTY0IG9mIG5vdGhpbmcgaW4gcGFydGljdWxhcg';

export const header =
  "<?xml version='1.0'?><stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' to='example.com' version='1.0'>";

const message =
  "<message from='juliet@capulet.example/balcony-3f2a91' to='romeo@montague.example/orchard' id='b7c8a5d2-91f4-4e5b' type='chat' xml:lang='en'>" +
  '<body>Good night, good night! Parting is such sweet sorrow, that I shall say good night</body>' +
  "<origin-id xmlns='urn:xmpp:sid:0' id='b7c8a5d2-91f4-4e5b'/><request xmlns='urn:xmpp:receipts'/></message>";

const key = (n: number): string => `<key rid='${n}'>${fingerprint.repeat(3).slice(0, 120)}</key>`;
const omemo =
  "<message from='juliet@capulet.example/balcony-3f2a91' to='romeo@montague.example' id='b7c8a5d2' type='chat'>" +
  `<encrypted xmlns='eu.siacs.conversations.axolotl'><header sid='27183'>${[1, 2, 3, 4].map(key).join('')}<iv>${fingerprint.slice(0, 16)}</iv></header>` +
  `<payload>${fingerprint.repeat(8)}</payload></encrypted><store xmlns='urn:xmpp:hints'/></message>`;

const presence =
  "<presence from='juliet@capulet.example/balcony'><show>away</show><status>brb</status><priority>5</priority>" +
  "<c xmlns='http://jabber.org/protocol/caps' hash='sha-1' node='https://client.example' ver='q07IKJEyjvHSyhy//CH0CxmKi8w='/></presence>";

const roster = `<iq id='r1' type='result' to='juliet@capulet.example/balcony'><query xmlns='jabber:iq:roster' ver='v14'>${Array.from(
  { length: 20 },
  (_, n) =>
    `<item jid='contact${n}@montague.example' name='Contact ${n}' subscription='both'><group>Friends</group></item>`,
).join('')}</query></iq>`;

const disco = `<iq id='d1' type='result' from='example.com'><query xmlns='http://jabber.org/protocol/disco#info'>${Array.from(
  { length: 100 },
  (_, n) => `<feature var='http://jabber.org/protocol/feature-number-${n}'/>`,
).join('')}</query></iq>`;

const accented = message.replaceAll(' good', ' g\u{FC}ten \u{1F600}');

export const samples: Readonly<Record<string, string>> = { message, accented, omemo, presence, roster, disco };
