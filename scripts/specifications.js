// The table of specifications (docs/specifications.md) and doap.xml, made from what the modules say of themselves. What lies below
// the modules is listed here. What proves a row, the scenarios and tests say themselves (proofs.js).
import { suite } from './compliance.js';
import { proofLinks } from './proofs.js';

/** Titles of the extensions in use, as the XSF has them. */
const titles = {
  'XEP-0004': 'Data Forms',
  'XEP-0012': 'Last Activity',
  'XEP-0030': 'Service Discovery',
  'XEP-0045': 'Multi-User Chat',
  'XEP-0048': 'Bookmarks',
  'XEP-0049': 'Private XML Storage',
  'XEP-0050': 'Ad-Hoc Commands',
  'XEP-0054': 'vcard-temp',
  'XEP-0059': 'Result Set Management',
  'XEP-0060': 'Publish-Subscribe',
  'XEP-0065': 'SOCKS5 Bytestreams',
  'XEP-0077': 'In-Band Registration',
  'XEP-0080': 'User Location',
  'XEP-0082': 'XMPP Date and Time Profiles',
  'XEP-0084': 'User Avatar',
  'XEP-0092': 'Software Version',
  'XEP-0107': 'User Mood',
  'XEP-0108': 'User Activity',
  'XEP-0114': 'Jabber Component Protocol',
  'XEP-0115': 'Entity Capabilities',
  'XEP-0118': 'User Tune',
  'XEP-0122': 'Data Forms Validation',
  'XEP-0124': 'Bidirectional-streams Over Synchronous HTTP (BOSH)',
  'XEP-0128': 'Service Discovery Extensions',
  'XEP-0133': 'Service Administration',
  'XEP-0153': 'vCard-Based Avatars',
  'XEP-0156': 'Discovering Alternative XMPP Connection Methods',
  'XEP-0157': 'Contact Addresses for XMPP Services',
  'XEP-0158': 'CAPTCHA Forms',
  'XEP-0160': 'Best Practices for Handling Offline Messages',
  'XEP-0163': 'Personal Eventing Protocol',
  'XEP-0172': 'User Nickname',
  'XEP-0175': 'Best Practices for Use of SASL ANONYMOUS',
  'XEP-0178': 'Best Practices for Use of SASL EXTERNAL with Certificates',
  'XEP-0185': 'Dialback Key Generation and Validation',
  'XEP-0191': 'Blocking Command',
  'XEP-0198': 'Stream Management',
  'XEP-0199': 'XMPP Ping',
  'XEP-0202': 'Entity Time',
  'XEP-0203': 'Delayed Delivery',
  'XEP-0206': 'XMPP Over BOSH',
  'XEP-0205': 'Best Practices to Discourage Denial of Service Attacks',
  'XEP-0215': 'External Service Discovery',
  'XEP-0220': 'Server Dialback',
  'XEP-0227': 'Portable Import/Export Format for XMPP-IM Servers',
  'XEP-0222': 'Persistent Storage of Public Data via PubSub',
  'XEP-0223': 'Persistent Storage of Private Data via PubSub',
  'XEP-0249': 'Direct MUC Invitations',
  'XEP-0277': 'Microblogging over XMPP',
  'XEP-0280': 'Message Carbons',
  'XEP-0283': 'Moved',
  'XEP-0288': 'Bidirectional Server-to-Server Connections',
  'XEP-0292': 'vCard4 Over XMPP',
  'XEP-0297': 'Stanza Forwarding',
  'XEP-0307': 'Unique Room Names for Multi-User Chat',
  'XEP-0313': 'Message Archive Management',
  'XEP-0317': 'Hats',
  'XEP-0333': 'Displayed Markers',
  'XEP-0334': 'Message Processing Hints',
  'XEP-0344': 'Impact of TLS and DNSSEC on Dialback',
  'XEP-0352': 'Client State Indication',
  'XEP-0357': 'Push Notifications',
  'XEP-0353': 'Jingle Message Initiation',
  'XEP-0355': 'Namespace Delegation',
  'XEP-0356': 'Privileged Entity',
  'XEP-0359': 'Unique and Stable Stanza IDs',
  'XEP-0363': 'HTTP File Upload',
  'XEP-0368': 'SRV records for XMPP over TLS',
  'XEP-0376': 'Pubsub Account Management',
  'XEP-0379': 'Pre-Authenticated Roster Subscription',
  'XEP-0377': 'Blocking Command Reports',
  'XEP-0384': 'OMEMO Encryption',
  'XEP-0386': 'Bind 2',
  'XEP-0388': 'Extensible SASL Profile',
  'XEP-0390': 'Entity Capabilities 2.0',
  'XEP-0398': 'User Avatar to vCard-Based Avatars Conversion',
  'XEP-0401': 'Ad-hoc Account Invitation Generation',
  'XEP-0402': 'PEP Native Bookmarks',
  'XEP-0410': "MUC Self-Ping (Schrödinger's Chat)",
  'XEP-0411': 'Bookmarks Conversion',
  'XEP-0413': 'Order-By',
  'XEP-0421': 'Occupant identifiers for semi-anonymous MUCs',
  'XEP-0424': 'Message Retraction',
  'XEP-0425': 'Moderated Message Retraction',
  'XEP-0431': 'Full Text Search in MAM',
  'XEP-0433': 'Extended Channel Search',
  'XEP-0437': 'Room Activity Indicators',
  'XEP-0440': 'SASL Channel-Binding Type Capability',
  'XEP-0441': 'Message Archive Management Preferences',
  'XEP-0445': 'Pre-Authenticated In-Band Registration',
  'XEP-0452': 'MUC Mention Notifications',
  'XEP-0455': 'Service Outage Status',
  'XEP-0462': 'PubSub Type Filtering',
  'XEP-0463': 'MUC Affiliations Versioning',
  'XEP-0465': 'Pubsub Public Subscriptions',
  'XEP-0470': 'Pubsub Attachments',
  'XEP-0472': 'Pubsub Social Feed',
  'XEP-0474': 'SASL SCRAM Downgrade Protection',
  'XEP-0478': 'Stream Limits Advertisement',
  'XEP-0480': 'SASL Upgrade Tasks',
  'XEP-0482': 'Call Invites',
  'XEP-0484': 'Fast Authentication Streamlining Tokens',
  'XEP-0485': 'PubSub Server Information',
  'XEP-0486': 'MUC Avatars',
  'XEP-0490': 'Message Displayed Synchronization',
  'XEP-0492': 'Chat notification settings',
  'XEP-0494': 'Client Access Management',
  'XEP-0500': 'MUC Slow Mode',
  'XEP-0502': 'MUC Activity Indicator',
  'XEP-0503': 'Server-side spaces',
  'XEP-0504': 'Data Policy',
  'XEP-0509': 'Initial Authentication Pipelining',
  'XEP-0515': 'TLS Channel-Binding Downgrade Protection',
};

/** What the core does, below the modules. */
const core = [
  ['XEP-0114 1.6', '`s2s/component.ts`, `s2s/components.ts`'],
  ['XEP-0124 1.11.2', '`net/bosh.ts`'],
  ['XEP-0156 1.4.0', '`c2s/web.ts`'],
  ['XEP-0175 1.2', '`auth/anonymous.ts`'],
  ['XEP-0178 1.2', '`s2s/external.ts`, `s2s/certificates.ts`'],
  ['XEP-0185 1.0', '`s2s/dialback.ts`'],
  ['XEP-0205 1.0.2', '`c2s/budgets.ts`, `c2s/acceptor.ts`, `s2s/intake.ts`'],
  ['XEP-0198 1.6.3', '`c2s/sm.ts`, `s2s/outlet.ts`'],
  ['XEP-0206 1.4', '`net/bosh.ts`'],
  ['XEP-0220 1.1.1', '`s2s/dialback.ts`, `s2s/receiving.ts`'],
  ['XEP-0288 1.0.1', '`s2s/inbound.ts`, `s2s/outbound.ts`'],
  ['XEP-0344 0.4', '`s2s/certificates.ts`'],
  ['XEP-0368 1.1.0', '`c2s/acceptor.ts`, `net/tls.ts`, `net/dns.ts`'],
  ['XEP-0386 1.1.0', '`c2s/bind2.ts`'],
  ['XEP-0388 1.0.4', '`c2s/sasl2.ts`'],
  ['XEP-0440 1.0.0', '`auth/channel.ts`'],
  ['XEP-0474 0.5.0', '`auth/downgrade.ts`'],
  ['XEP-0478 0.2.0', '`c2s/features.ts`, `s2s/outlet.ts`'],
  ['XEP-0480 0.2.0', '`c2s/upgrade.ts`'],
  ['XEP-0484 0.2.0', '`auth/ht.ts`, `auth/clients.ts`'],
  ['XEP-0509 0.2.0', '`c2s/features.ts`, `c2s/sasl2.ts`'],
  ['XEP-0515 0.1.0', '`auth/downgrade.ts`'],
];

export const rfcs = {
  3921: 'the session request of section 3, for older clients',
  4505: 'SASL ANONYMOUS',
  4616: 'SASL PLAIN',
  5802: 'SCRAM-SHA-1, with and without channel binding',
  5890: 'IDNA2008 for domains, with 5891 to 5893 and 5895',
  5929: 'channel binding by tls-server-end-point',
  6120: 'XMPP: Core, for clients and their server',
  6121: 'XMPP: Instant Messaging and Presence, whole',
  7395: 'XMPP over WebSocket, for clients',
  7590: 'use of TLS in XMPP',
  7622: 'XMPP: Address Format',
  7677: 'SCRAM-SHA-256; SCRAM-SHA-512 alike',
  8264: 'PRECIS framework, with the profiles of 8265',
  9266: 'channel binding by tls-exporter',
  9525: 'names in certificates',
};

/** Rows of [number, version, places], by number. */
function extensions(modules) {
  const rows = new Map();
  const add = (text, place) => {
    const [number, version] = text.split(' ');
    if (!number.startsWith('XEP-')) return;
    const row = rows.get(number) ?? { number, version, places: [] };
    if (row.version !== version) throw new Error(`${number}: both ${row.version} and ${version} are claimed`);
    if (titles[number] === undefined) throw new Error(`${number} has no title in scripts/specifications.js`);
    row.places.push(place);
    rows.set(number, row);
  };
  for (const [text, place] of core) add(text, place);
  for (const [name, { xeps }] of modules) for (const text of xeps) add(text, `\`modules/${name}\``);
  return [...rows.values()].sort((a, b) => (a.number < b.number ? -1 : 1));
}

/** @param proofs what {@link readProofs} returns */
export function specificationsPage(modules, proofs) {
  const rows = extensions(modules);
  const proof = (...names) => proofLinks([...new Set(names.flatMap((name) => proofs.get(name) ?? []))]);
  const lines = rows.map(
    ({ number, version, places }) =>
      `| ${linkTo(number)} | ${titles[number]} | ${version} | ${places.join(', ')} | ${proof(number)} |`,
  );
  return [
    '# What it speaks',
    '',
    'Made by `npm run docs` from the modules. A version here means that every MUST of it is met and tested; what is left of its SHOULDs is',
    'said in the module. The last column names the scenarios and tests that are about it ([how that is known](writing-a-module.md#testing-it)).',
    '',
    '## Compliance (XEP-0479)',
    '',
    'What the XMPP Compliance Suites ask of a server, in its default configuration. Advanced includes Core.',
    '',
    '| Category | Feature | Level | Specifications | State | Proof |',
    '|---|---|---|---|---|---|',
    ...suite.map((row) => suiteLine(row, new Set([...rows.map(({ number }) => number), ...rfcNames]), proof)),
    '',
    '## RFCs',
    '',
    '| RFC | What | Proof |',
    '|---|---|---|',
    ...Object.entries(rfcs).map(
      ([number, what]) => `| ${linkTo(`RFC ${number}`)} | ${what} | ${proof(`RFC ${number}`)} |`,
    ),
    '',
    '## Extensions',
    '',
    '| XEP | Title | Version | Where | Proof |',
    '|---|---|---|---|---|',
    ...lines,
    '',
    '## Modules',
    '',
    '| Module | What it does |',
    '|---|---|',
    ...[...modules].map(([name, { summary }]) => `| \`${name}\` | ${summary} |`),
    '',
  ].join('\n');
}

const rfcNames = Object.keys(rfcs).map((number) => `RFC ${number}`);

function suiteLine([category, feature, level, names], claimed, proof) {
  const missing = names.filter((name) => !claimed.has(name));
  const state = missing.length === 0 ? 'met' : `open: ${missing.join(', ')}`;
  return `| ${category} | ${feature} | ${level} | ${names.map(linkTo).join(', ')} | ${state} | ${proof(...names)} |`;
}

/** `XEP-0199` or `RFC 6120`, with where it is to be read. */
function linkTo(name) {
  if (name.startsWith('XEP-')) return `[${name}](https://xmpp.org/extensions/${name.toLowerCase()}.html)`;
  const number = name.slice('RFC '.length);
  return `[${name}](https://www.rfc-editor.org/rfc/rfc${number})`;
}

/** XEP-0453. */
export function doap(modules, { version }) {
  const supported = extensions(modules).map(
    ({ number, version: of }) => `    <implements>
      <xmpp:SupportedXep>
        <xmpp:xep rdf:resource='https://xmpp.org/extensions/${number.toLowerCase()}.html'/>
        <xmpp:status>complete</xmpp:status>
        <xmpp:version>${of}</xmpp:version>
        <xmpp:since>${version}</xmpp:since>
      </xmpp:SupportedXep>
    </implements>`,
  );
  return `<?xml version='1.0' encoding='UTF-8'?>
<rdf:RDF xmlns:rdf='http://www.w3.org/1999/02/22-rdf-syntax-ns#'
         xmlns='http://usefulinc.com/ns/doap#'
         xmlns:xmpp='https://linkmauve.fr/ns/xmpp-doap#'>
  <Project xml:lang='en'>
    <name>Parley</name>
    <shortdesc>XMPP server in TypeScript</shortdesc>
    <description>A federating XMPP server: correct, quick, simple to run, and made to be read</description>
    <programming-language>TypeScript</programming-language>
    <os>Linux</os>
    <os>macOS</os>
    <license rdf:resource='https://www.apache.org/licenses/LICENSE-2.0'/>
    <category rdf:resource='https://linkmauve.fr/ns/xmpp-doap#category-server'/>
${Object.keys(rfcs)
  .map((number) => `    <implements rdf:resource='https://www.rfc-editor.org/info/rfc${number}'/>`)
  .join('\n')}
${supported.join('\n')}
  </Project>
</rdf:RDF>
`;
}
