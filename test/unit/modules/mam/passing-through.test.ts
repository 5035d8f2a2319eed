// What clients say to one another passes through untouched, and reaches whom it is to reach: one table for all of it.
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { parseConfig } from '../../../../src/config/load.ts';
import { loadModules } from '../../../../src/index.ts';
import { Server } from '../../../../src/server.ts';
import type { StreamClient } from '../../../kit/client.ts';
import { FakeClock } from '../../../kit/clock.ts';
import { logIn } from '../../../kit/login.ts';

const domain = 'verona.test';
const hint = (name: string): string => `<${name} xmlns='urn:xmpp:hints'/>`;
const store = hint('store');
const oob = "<x xmlns='jabber:x:oob'><url>https://example.org/a?b=1&amp;c=2</url></x>";
const call = (name: string): string => `<${name} xmlns='urn:xmpp:jingle-message:0' id='ca3cf894'/>${store}`;
const sims =
  "<reference xmlns='urn:xmpp:reference:0' begin='0' end='4' type='data'><media-sharing xmlns='urn:xmpp:sims:1'>" +
  "<file xmlns='urn:xmpp:jingle:apps:file-transfer:5'><name>summit.jpg</name></file></media-sharing></reference>";

interface Row {
  readonly what: string;
  readonly type?: string;
  /** What is in the message, as it is written. */
  readonly xml: string;
  /** Copied to the other devices of both (XEP-0280), in both archives (XEP-0313), kept for who is away (XEP-0160). */
  readonly reaches:
    | 'copies, archives and who is away'
    | 'copies and who is away'
    | 'archives and who is away'
    | 'copies';
}

const everything = 'copies, archives and who is away';
const conversation: readonly Row[] = [
  ['a body in several languages', "<body>Lady</body><body xml:lang='cs'>Pan&#xED;</body><subject>S</subject>"],
  ['a thread (XEP-0201)', "<thread parent='t0'>t1</thread><body>Lady</body>"],
  [
    'XHTML (XEP-0071)',
    "<body>hi</body><html xmlns='http://jabber.org/protocol/xhtml-im'><body xmlns='http://www.w3.org/1999/xhtml'><p>h<em>i</em></p></body></html>",
  ],
  ['a request for a receipt (XEP-0184)', "<body>Lady</body><request xmlns='urn:xmpp:receipts'/>"],
  ['a receipt (XEP-0184)', "<received xmlns='urn:xmpp:receipts' id='m0'/>"],
  ['a message that can be marked (XEP-0333)', "<body>Lady</body><markable xmlns='urn:xmpp:chat-markers:0'/>"],
  ['a marker (XEP-0333)', "<displayed xmlns='urn:xmpp:chat-markers:0' id='m0'/>"],
  ['a correction (XEP-0308)', "<body>Juliet</body><replace xmlns='urn:xmpp:message-correct:0' id='m0'/>"],
  [
    'reactions (XEP-0444)',
    `<reactions xmlns='urn:xmpp:reactions:0' id='m0'><reaction>\u{1F44B}</reaction></reactions>${store}`,
  ],
  ['reactions taken back (XEP-0444)', "<reactions xmlns='urn:xmpp:reactions:0' id='m0'/>"],
  [
    'a reply (XEP-0461)',
    "<body>&gt; Lady\nYes</body><reply xmlns='urn:xmpp:reply:0' to='romeo@verona.test' id='m0'/><fallback xmlns='urn:xmpp:fallback:0' for='urn:xmpp:reply:0'><body start='0' end='7'/></fallback>",
  ],
  [
    'a retraction (XEP-0424)',
    `<retract xmlns='urn:xmpp:message-retract:1' id='m0'/><fallback xmlns='urn:xmpp:fallback:0' for='urn:xmpp:message-retract:1'/><body>gone</body>${store}`,
  ],
  [
    'a retraction as it was (XEP-0422)',
    "<apply-to xmlns='urn:xmpp:fasten:0' id='m0'><retract xmlns='urn:xmpp:message-retract:0'/></apply-to>",
  ],
  [
    'OMEMO (XEP-0384)',
    `<encrypted xmlns='urn:xmpp:omemo:2'><header sid='1'><keys jid='j@v.test'><key rid='2'>aGk=</key></keys></header><payload>aGk=</payload></encrypted>${store}`,
  ],
  [
    'OMEMO as it was',
    "<encrypted xmlns='eu.siacs.conversations.axolotl'><header sid='1'><key rid='2'>aGk=</key><iv>aGk=</iv></header><payload>aGk=</payload></encrypted>",
  ],
  [
    'OMEMO as it was, with a body',
    `<encrypted xmlns='eu.siacs.conversations.axolotl'><header sid='1'/></encrypted><encryption xmlns='urn:xmpp:eme:0' name='OMEMO' namespace='eu.siacs.conversations.axolotl'/><body>sorry</body>${store}`,
  ],
  ['OpenPGP (XEP-0373)', "<openpgp xmlns='urn:xmpp:openpgp:0'>aGk=</openpgp>"],
  [
    'something encrypted (XEP-0380)',
    "<encryption xmlns='urn:xmpp:eme:0' namespace='urn:example:secret'/><x xmlns='urn:example:secret'/>",
  ],
  ...['propose', 'ringing', 'proceed', 'reject', 'retract', 'finish'].map(
    (name) => [`a call: ${name} (XEP-0353)`, call(name)] as const,
  ),
  [
    'an invitation to a call (XEP-0482)',
    "<invite xmlns='urn:xmpp:call-invites:0' video='true'><jingle sid='s'/></invite>",
  ],
  ['an answer to that (XEP-0482)', "<accept xmlns='urn:xmpp:call-invites:0' id='m0'/>"],
  ['an invitation to a room (XEP-0249)', "<x xmlns='jabber:x:conference' jid='room@chat.example' reason='come'/>"],
  [
    'a mention (XEP-0372)',
    "<body>Juliet</body><reference xmlns='urn:xmpp:reference:0' begin='0' end='6' type='mention' uri='xmpp:juliet@verona.test'/>",
  ],
  ['media (XEP-0385)', `<body>look</body>${sims}`],
  ['media without a body (XEP-0385)', sims],
  [
    'a file (XEP-0447)',
    "<file-sharing xmlns='urn:xmpp:sfs:0' disposition='inline'><file xmlns='urn:xmpp:file:metadata:0'><name>a</name></file></file-sharing>",
  ],
  ['a sticker (XEP-0449)', "<body>\u{1F618}</body><sticker xmlns='urn:xmpp:stickers:0' pack='p'/>"],
  ['an address (XEP-0066)', `<body>https://example.org/a?b=1&amp;c=2</body>${oob}`],
  ['a text without styling (XEP-0393)', "<body>*not bold*</body><unstyled xmlns='urn:xmpp:styling:0'/>"],
  ['a spoiler (XEP-0382)', "<body>they die</body><spoiler xmlns='urn:xmpp:spoiler:0' xml:lang='en'>End</spoiler>"],
  ['an origin-id (XEP-0359)', "<body>Lady</body><origin-id xmlns='urn:xmpp:sid:0' id='o1'/>"],
  [
    "a stanza-id of somebody else's (XEP-0359)",
    "<body>Lady</body><stanza-id xmlns='urn:xmpp:sid:0' by='room@chat.example' id='s'/>",
  ],
].map(([what, xml]) => ({ what: what!, xml: xml!, reaches: everything }));

const others: readonly Row[] = [
  { what: 'a message of type normal', type: 'normal', xml: '<body>Lady</body>', reaches: everything },
  {
    what: 'an invitation of type normal (XEP-0249)',
    type: 'normal',
    xml: "<x xmlns='jabber:x:conference' jid='r@c.example'/>",
    reaches: everything,
  },
  {
    what: 'a chat state (XEP-0085)',
    xml: "<composing xmlns='http://jabber.org/protocol/chatstates'/>",
    reaches: 'copies',
  },
  {
    what: 'a chat state that is to be kept',
    xml: `<gone xmlns='http://jabber.org/protocol/chatstates'/>${store}`,
    reaches: everything,
  },
  { what: 'what must not be stored (XEP-0334)', xml: `<body>psst</body>${hint('no-store')}`, reaches: 'copies' },
  {
    what: 'what must not be kept (XEP-0334)',
    xml: `<body>psst</body>${hint('no-permanent-store')}`,
    reaches: 'copies and who is away',
  },
  {
    what: 'what must not be copied (XEP-0280)',
    xml: "<body>psst</body><private xmlns='urn:xmpp:carbons:2'/>",
    reaches: 'archives and who is away',
  },
];

let server: Server;
let clock: FakeClock;
const clients = new Map<string, StreamClient>();
/** What was written to each device, as it was written. */
const written = new Map<string, string[]>();

async function enter(user: string, resource: string, ...said: string[]): Promise<StreamClient> {
  const { client, jid } = await logIn(server.address('c2s')!, { domain, user, password: 'secret', resource });
  const lines: string[] = [];
  written.set(resource, lines);
  clients.set(resource, client);
  const session = server.sessions.get(jid)!;
  const stream = session.stream!;
  session.stream = {
    address: stream.address,
    transport: stream.transport,
    queuedBytes: 0,
    send(xml) {
      lines.push(xml);
      stream.send(xml);
    },
    close: (error) => stream.close(error),
  };
  for (const xml of said) client.write(xml);
  await client.fence();
  return client;
}

/** Messages that a device has been sent since it was last asked. */
async function sentTo(resource: string): Promise<string[]> {
  await clients.get(resource)!.fence();
  return written
    .get(resource)!
    .splice(0)
    .filter((xml) => xml.startsWith('<message'));
}

const carbons = "<iq type='set' id='c'><enable xmlns='urn:xmpp:carbons:2'/></iq>";
const available = (priority: number): string => `<presence><priority>${priority}</priority></presence>`;

beforeAll(async () => {
  clock = new FakeClock();
  const config = parseConfig({
    database: 'memory',
    tls: { required: false },
    limits: { enabled: false, 'idle-timeout': '100d' },
    listen: { address: ['127.0.0.1'], c2s: 0, 'c2s-tls': null, s2s: null, http: null },
    hosts: { [domain]: {} },
  });
  server = await Server.start(config, { modules: await loadModules(config), clock, iterations: 1 });
  for (const user of ['romeo', 'juliet', 'nurse']) await server.hosts.get(domain)!.accounts.create(user, 'secret');
  await enter('romeo', 'orchard', available(5));
  await enter('romeo', 'garden', carbons, available(0));
  await enter('juliet', 'balcony', available(5));
  await enter('juliet', 'chamber', carbons, available(0));
});
afterAll(async () => {
  for (const client of clients.values()) await client.destroy();
  await server.stop();
});

async function lastArchived(resource: string): Promise<string[]> {
  await sentTo(resource);
  clients
    .get(resource)!
    .write(
      "<iq type='set' id='q'><query xmlns='urn:xmpp:mam:2'><set xmlns='http://jabber.org/protocol/rsm'><max>1</max><before/></set></query></iq>",
    );
  return sentTo(resource);
}

let count = 0;

describe.each([
  ['the account', 'juliet@verona.test'],
  ['one of its devices', 'juliet@verona.test/balcony'],
])('to %s', (_whom, to) => {
  test.each([...conversation, ...others])(
    '$what reaches $reaches, as it was written',
    async ({ type = 'chat', xml, reaches }) => {
      const id = `n${++count}`;
      for (const resource of clients.keys()) await sentTo(resource);
      clients.get('orchard')!.write(`<message to='${to}' type='${type}' id='${id}'>${xml}</message>`);
      await clients.get('orchard')!.fence();

      const direct = await sentTo('balcony');
      expect(direct).toHaveLength(1);
      expect(direct[0]).toContain(`id='${id}'`);
      expect(direct[0]).toContain(`>${xml}<`);

      const isCopied = reaches.includes('copies');
      for (const resource of ['garden', 'chamber']) {
        const copies = await sentTo(resource);
        expect(copies).toHaveLength(isCopied ? 1 : 0);
        for (const copy of copies) {
          expect(copy).toContain(resource === 'garden' ? '<sent ' : '<received ');
          expect(copy).toContain(`>${xml}<`);
        }
      }

      const isArchived = reaches.includes('archives');
      for (const resource of ['orchard', 'balcony']) {
        const [last] = await lastArchived(resource);
        if (isArchived) {
          expect(last).toContain(`id='${id}'`);
          expect(last).toContain(`>${xml}</message></forwarded></result></message>`);
        } else expect(last ?? '').not.toContain(`id='${id}'`);
      }
    },
  );
});

test.each([...conversation, ...others])(
  'whether it is kept for who is away: $what reaches $reaches',
  async ({ type = 'chat', xml, reaches }) => {
    const id = `n${++count}`;
    await sentTo('orchard');
    clients.get('orchard')!.write(`<message to='nurse@${domain}' type='${type}' id='${id}'>${xml}</message>`);
    // nobody is told that it was not kept
    expect(await sentTo('orchard')).toEqual([]);
    const nurse = await enter('nurse', 'hall', available(0));
    const kept = await sentTo('hall');
    expect(kept).toHaveLength(reaches.includes('who is away') ? 1 : 0);
    for (const message of kept) expect(message).toContain(`>${xml}<`);
    await nurse.destroy();
    clients.delete('hall');
    while (server.sessions.get(`nurse@${domain}/hall`) !== undefined)
      await new Promise((resolve) => setImmediate(resolve));
  },
);

describe('a Jingle session (XEP-0166)', () => {
  const jingle =
    "<jingle xmlns='urn:xmpp:jingle:1' action='session-initiate' initiator='romeo@verona.test/orchard' sid='a73sjjvkla37jfea'><content creator='initiator' name='voice'/></jingle>";

  test('is between two devices, both ways, and nobody else is told', async () => {
    for (const resource of clients.keys()) await sentTo(resource);
    clients.get('orchard')!.write(`<iq to='juliet@${domain}/balcony' type='set' id='j1'>${jingle}</iq>`);
    await clients.get('orchard')!.fence();
    await clients.get('balcony')!.fence();
    expect(written.get('balcony')!.some((line) => line.includes(`id='j1'`) && line.includes(`>${jingle}</iq>`))).toBe(
      true,
    );
    clients.get('balcony')!.write(`<iq to='romeo@${domain}/orchard' type='result' id='j1'/>`);
    await clients.get('balcony')!.fence();
    await clients.get('orchard')!.fence();
    expect(written.get('orchard')!.some((line) => line.includes(`id='j1'`) && line.includes(`type='result'`))).toBe(
      true,
    );
    for (const resource of ['garden', 'chamber']) {
      await clients.get(resource)!.fence();
      expect(written.get(resource)!.filter((line) => line.includes('j1'))).toEqual([]);
    }
    expect((await lastArchived('balcony')).join()).not.toContain('jingle:1');
  });
});
