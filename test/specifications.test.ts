// What is said of the specifications holds: the modules, docs/specifications.md, doap.xml and service discovery agree, and each row has proof.
import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { findModules } from '../src/core/loader.ts';
import { NS } from '../src/xmpp/ns.ts';
import { type Announced, type Place, readAnnounced } from './kit/announced.ts';
import { TestServer } from './kit/test-server.ts';

const read = (path: string): string => readFileSync(new URL(`../${path}`, import.meta.url), 'utf8');

/** Where the specifications want to be told of, and by what; read there, not in the modules. A namespace in `stream` is that of a stream feature. */
const wanted: Readonly<Record<string, Partial<Record<Place, readonly string[]>>>> = {
  'XEP-0012': { server: ['jabber:iq:last'], account: ['jabber:iq:last'] },
  'XEP-0030': {
    server: ['http://jabber.org/protocol/disco#info', 'http://jabber.org/protocol/disco#items'],
    account: ['http://jabber.org/protocol/disco#info'],
    rooms: ['http://jabber.org/protocol/disco#items'],
    pubsub: ['http://jabber.org/protocol/disco#items'],
    room: ['http://jabber.org/protocol/disco#info'],
  },
  'XEP-0045': { rooms: ['http://jabber.org/protocol/muc'], room: ['http://jabber.org/protocol/muc', 'muc_open'] },
  'XEP-0049': { server: ['jabber:iq:private'] },
  'XEP-0050': { server: ['http://jabber.org/protocol/commands'] },
  'XEP-0054': { server: ['vcard-temp'], account: ['vcard-temp'], room: ['vcard-temp'] },
  'XEP-0060': {
    pubsub: ['http://jabber.org/protocol/pubsub', 'http://jabber.org/protocol/pubsub#publish'],
    node: ['http://jabber.org/protocol/pubsub'],
  },
  'XEP-0065': { proxy: ['http://jabber.org/protocol/bytestreams'] },
  'XEP-0092': { server: ['jabber:iq:version'] },
  'XEP-0115': { server: ['http://jabber.org/protocol/caps'], stream: ['http://jabber.org/protocol/caps'] },
  'XEP-0160': { server: ['msgoffline'] },
  'XEP-0163': {
    account: [
      'http://jabber.org/protocol/pubsub#auto-create',
      'http://jabber.org/protocol/pubsub#filtered-notifications',
    ],
  },
  'XEP-0191': { server: ['urn:xmpp:blocking'] },
  'XEP-0198': { stream: ['urn:xmpp:sm:3'] },
  'XEP-0199': { server: ['urn:xmpp:ping'], rooms: ['urn:xmpp:ping'], pubsub: ['urn:xmpp:ping'] },
  'XEP-0202': { server: ['urn:xmpp:time'] },
  'XEP-0215': { server: ['urn:xmpp:extdisco:2'] },
  'XEP-0222': { account: ['http://jabber.org/protocol/pubsub#publish-options'] },
  'XEP-0223': { account: ['http://jabber.org/protocol/pubsub#access-whitelist'] },
  'XEP-0277': { account: ['urn:xmpp:microblog:0'] },
  'XEP-0280': { server: ['urn:xmpp:carbons:2'] },
  'XEP-0292': { account: ['urn:ietf:params:xml:ns:vcard-4.0'] },
  'XEP-0307': { rooms: ['http://jabber.org/protocol/muc#unique'] },
  'XEP-0313': {
    account: ['urn:xmpp:mam:2', 'urn:xmpp:mam:2#extended'],
    room: ['urn:xmpp:mam:2', 'urn:xmpp:mam:2#extended'],
  },
  'XEP-0317': { room: ['urn:xmpp:hats:0'] },
  'XEP-0352': { stream: ['urn:xmpp:csi:0'] },
  'XEP-0357': { server: ['urn:xmpp:push:0'], account: ['urn:xmpp:push:0'] },
  'XEP-0359': { account: ['urn:xmpp:sid:0'], room: ['urn:xmpp:sid:0'] },
  'XEP-0363': { upload: ['urn:xmpp:http:upload:0'] },
  'XEP-0376': { account: ['urn:xmpp:pam:0'] },
  'XEP-0377': { server: ['urn:xmpp:reporting:1'] },
  'XEP-0386': { stream: ['urn:xmpp:bind:0'] },
  'XEP-0388': { stream: ['urn:xmpp:sasl:2'] },
  'XEP-0390': { server: ['urn:xmpp:caps'], stream: ['urn:xmpp:caps'] },
  'XEP-0398': { account: ['urn:xmpp:pep-vcard-conversion:0'] },
  'XEP-0402': { account: ['urn:xmpp:bookmarks:1#compat', 'urn:xmpp:bookmarks:1#compat-pep'] },
  'XEP-0410': { room: ['http://jabber.org/protocol/muc#self-ping-optimization'] },
  'XEP-0411': { account: ['urn:xmpp:bookmarks-conversion:0'] },
  'XEP-0413': { pubsub: ['urn:xmpp:order-by:1'] },
  'XEP-0421': { room: ['urn:xmpp:occupant-id:0'] },
  'XEP-0424': { account: ['urn:xmpp:message-retract:1#tombstone'], room: ['urn:xmpp:message-retract:1#tombstone'] },
  'XEP-0425': { room: ['urn:xmpp:message-moderate:1'] },
  'XEP-0431': { account: ['urn:xmpp:fulltext:0'], room: ['urn:xmpp:fulltext:0'] },
  'XEP-0433': { rooms: ['urn:xmpp:channel-search:0:search'] },
  'XEP-0437': { rooms: ['urn:xmpp:rai:0'] },
  'XEP-0440': { stream: ['urn:xmpp:sasl-cb:0'] },
  'XEP-0441': { account: ['urn:xmpp:mam:2'] },
  'XEP-0452': { room: ['urn:xmpp:mmn:0'] },
  'XEP-0462': { account: ['urn:xmpp:pubsub-filter:0'], pubsub: ['urn:xmpp:pubsub-filter:0'] },
  'XEP-0463': { room: ['urn:xmpp:muc:affiliations:1'] },
  'XEP-0465': { account: ['urn:xmpp:pps:0'], pubsub: ['urn:xmpp:pps:0'] },
  'XEP-0470': { account: ['urn:xmpp:pubsub-attachments:1'], pubsub: ['urn:xmpp:pubsub-attachments:1'] },
  'XEP-0472': { account: ['urn:xmpp:pubsub-social-feed:1'], pubsub: ['urn:xmpp:pubsub-social-feed:1'] },
  'XEP-0478': { stream: ['urn:xmpp:stream-limits:0'] },
  'XEP-0480': { stream: ['urn:xmpp:sasl:upgrade:0'] },
  'XEP-0484': { stream: ['urn:xmpp:fast:0'] },
  'XEP-0490': { account: ['urn:xmpp:mds:server-assist:0'] },
  'XEP-0494': { account: ['urn:xmpp:cam:0'] },
  'XEP-0509': { stream: ['urn:xmpp:iap:0'] },
};

/** Specifications whose namespaces a server tells nobody of, and why. All others are told of, somewhere. */
const untold: Readonly<Record<string, string>> = {
  'XEP-0048': 'XEP-0402 announces the conversion',
  'XEP-0059': 'whatever uses it announces that; pubsub#rsm is of XEP-0060',
  'XEP-0077': 'only where anybody may register, and that is not the default',
  'XEP-0080': 'a payload',
  'XEP-0084': 'payloads; clients announce +notify',
  'XEP-0107': 'a payload',
  'XEP-0108': 'a payload',
  'XEP-0114': 'a protocol of its own port',
  'XEP-0118': 'a payload',
  'XEP-0122': 'a part of forms',
  'XEP-0124': 'of HTTP; XEP-0156 tells of it',
  'XEP-0153': 'presence of clients',
  'XEP-0156': 'documents of HTTP',
  'XEP-0157': 'a form, no feature',
  'XEP-0158': 'in the answer to who wants to register',
  'XEP-0172': 'a payload',
  'XEP-0203': 'asked of receivers',
  'XEP-0205': 'an error',
  'XEP-0206': 'of HTTP; XEP-0156 tells of it',
  'XEP-0220': 'on streams of servers',
  'XEP-0227': 'a format of files',
  'XEP-0249': 'clients announce it',
  'XEP-0283': 'a node, and a part of requests for presence',
  'XEP-0288': 'on streams of servers',
  'XEP-0297': 'whatever uses it announces that',
  'XEP-0333': 'clients announce it',
  'XEP-0334': 'asked of nobody',
  'XEP-0353': 'clients announce it',
  'XEP-0355': 'to components, inside of their streams',
  'XEP-0356': 'to components, inside of their streams',
  'XEP-0379': 'on streams, together with XEP-0445',
  'XEP-0384': 'payloads; clients announce +notify',
  'XEP-0401': 'commands of the host, to those who may run them',

  'XEP-0455': 'a form, no feature',
  'XEP-0482': 'clients announce it',
  'XEP-0492': 'a part of bookmarks',
  'XEP-0502': 'a field of rooms’ forms',
  'XEP-0504': 'a form, no feature',
  'XEP-0503': 'a type of nodes',
};

/** What disco names that is in no namespace of ours: the features of rooms (XEP-0045 17.1). */
const ofRooms = /^muc_[a-z]+$/;

/** The namespaces of a specification, by the comments of src/xmpp/ns.ts. */
function namespacesByDocument(): ReadonlyMap<string, readonly string[]> {
  const found = new Map<string, string[]>();
  let documents: readonly string[] = [];
  for (const line of read('src/xmpp/ns.ts').split('\n')) {
    if (line.startsWith('  //')) documents = line.match(/\b(?:XEP-\d{4}|RFC \d+)\b/g) ?? [];
    const value = /^ {2}\w+: '([^']+)',/.exec(line)?.[1];
    if (value === undefined) continue;
    for (const document of documents) found.set(document, [...(found.get(document) ?? []), value]);
  }
  return found;
}

const namespaces = namespacesByDocument();
const modules = await findModules(new URL('../src/modules/', import.meta.url));
const page = read('docs/specifications.md');

/** The rows of a table of the page, by their first cells. */
function rowsOf(heading: string): ReadonlyMap<string, readonly string[]> {
  const section = page.split(`\n## ${heading}\n`)[1]?.split('\n## ')[0] ?? '';
  const rows = section.split('\n').filter((line) => line.startsWith('| [') || /^\| [A-Z]/.test(line));
  return new Map(
    rows.slice(1).map((line) => {
      const cells = line
        .split('|')
        .map((cell) => cell.trim())
        .slice(1, -1);
      return [cells[0]!.replace(/^\[([^\]]+)\].*$/, '$1'), cells.slice(1)];
    }),
  );
}

const extensions = rowsOf('Extensions');
const isClaimed = (document: string): boolean => extensions.has(document) || rfcs.has(document);
const rfcs = rowsOf('RFCs');

describe('the modules', () => {
  it('name specifications by number and version, which are those of the table', () => {
    for (const [name, { xeps }] of modules) {
      for (const text of xeps) {
        expect(text, name).toMatch(/^(XEP-\d{4} \d+(\.\d+)+|RFC \d+)$/);
        const [number = '', version] = text.split(' ');
        if (number.startsWith('XEP-')) expect(extensions.get(number)?.[1], `${name}: ${number}`).toBe(version);
      }
    }
  });
});

describe('doap.xml', () => {
  const doap = read('doap.xml');
  it('lists the extensions of the table, in the same versions', () => {
    const listed = [...doap.matchAll(/(xep-\d{4})\.html'\/>\s*<[^>]+>[^<]*<[^>]+>\s*<xmpp:version>([^<]+)</g)];
    expect(listed.map(([, number, version]) => `${number!.toUpperCase()} ${version}`)).toEqual(
      [...extensions].map(([number, cells]) => `${number} ${cells[1]}`),
    );
  });

  it('lists the RFCs of the table', () => {
    const listed = [...doap.matchAll(/info\/rfc(\d+)'/g)].map(([, number]) => `RFC ${number}`);
    expect(listed).toEqual([...rfcs.keys()]);
  });
});

describe('each row', () => {
  it('has proof: a scenario or a test that names it (docs/writing-a-module.md, "Testing it")', () => {
    const unproved = [...extensions, ...rfcs].filter(([, cells]) => cells.at(-1) === '').map(([name]) => name);
    expect(unproved).toEqual([]);
  });

  it('of the compliance table is met by what is claimed and proved, or says what is missing', () => {
    const section = page.split('\n## Compliance (XEP-0479)\n')[1]!.split('\n## ')[0]!;
    const rows = section.split('\n').filter((line) => /^\| (Core|Web|IM|Mobile|A\/V Calling) \|/.test(line));
    expect(rows.length).toBeGreaterThanOrEqual(25);
    for (const row of rows) {
      const [, , , , names = '', state, proof] = row.split('|').map((cell) => cell.trim());
      const missing = [...names.matchAll(/\[([^\]]+)\]/g)].map(([, name]) => name!).filter((name) => !isClaimed(name));
      expect(state, row).toBe(missing.length === 0 ? 'met' : `open: ${missing.join(', ')}`);
      if (missing.length === 0) expect(proof, row).not.toBe('');
    }
  });
});

describe('a server in its default configuration', () => {
  let server: TestServer;
  let announced: Announced;
  beforeAll(async () => {
    // what differs from the defaults is where it listens, that nothing is kept, and that what is for the operator to switch on is on
    server = await TestServer.start({
      hosts: { 'verona.test': {} },
      registration: 'invite',
      tls: { required: true },
      s2s: { enabled: true },
      proxy: { enabled: true },
      modules: { 'server-information': { publish: true } },
    });
    await server.server.accounts.create('romeo@verona.test', 'secret');
    announced = await readAnnounced(server, { user: 'romeo', password: 'secret', domain: 'verona.test' });
  });
  afterAll(() => server.stop());

  it('announces every extension that it claims, where that specification wants it', () => {
    const missing: string[] = [];
    for (const number of extensions.keys()) {
      for (const [place, features] of Object.entries(wanted[number] ?? {})) {
        const there = announced.get(place as Place) ?? new Set();
        for (const feature of features) if (!there.has(feature)) missing.push(`${number}: ${feature} at ${place}`);
      }
    }
    expect(missing).toEqual([]);
  });

  it('tells of each claimed extension that has namespaces, but of those that are untold for a reason', () => {
    const all = new Set([...announced.values()].flatMap((one) => [...one]));
    const silent = [...extensions.keys()].filter((number) => {
      const own = namespaces.get(number) ?? [];
      if (own.length === 0 || wanted[number] !== undefined || untold[number] !== undefined) return false;
      return !own.some((ns) => all.has(ns));
    });
    expect(silent).toEqual([]);
  });

  it('announces nothing that is not claimed', () => {
    const documents = new Map<string, string[]>();
    for (const [document, list] of namespaces)
      for (const ns of list) documents.set(ns, [...(documents.get(ns) ?? []), document]);
    const owners = (feature: string): readonly string[] => {
      const own = [...documents.keys()].filter(
        (ns) => feature === ns || (new RegExp(`^.{${ns.length}}[#@:]`).test(feature) && feature.startsWith(ns)),
      );
      const longest = own.sort((a, b) => b.length - a.length)[0];
      return longest === undefined ? [] : documents.get(longest)!;
    };
    const unclaimed: string[] = [];
    for (const [place, features] of announced) {
      for (const feature of features) {
        if (place === 'room' && ofRooms.test(feature)) continue;
        if (!owners(feature).some(isClaimed)) unclaimed.push(`${feature} at ${place}`);
      }
    }
    expect(unclaimed).toEqual([]);
  });

  it('names each namespace of src/xmpp/ns.ts below the specification that has it', () => {
    const known = new Set([...namespaces.values()].flat());
    const strays = Object.values(NS).filter((ns) => !known.has(ns) && !ns.startsWith('urn:parley:'));
    expect(strays.filter((ns) => !ns.startsWith('xmpp:prosody.im/'))).toEqual([]);
  });
});
