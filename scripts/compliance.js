// What the XMPP Compliance Suites 2023 (XEP-0479 0.1.0) ask of servers, row by row; docs/specifications.md says how far it is met. Of
// rows that leave a choice, what is built here.

/** [category, feature, level, specifications] */
export const suite = [
  ['Core', 'Core features', 'Core', ['RFC 6120']],
  ['Core', 'TLS', 'Core', ['RFC 7590']],
  ['Core', 'Direct TLS', 'Advanced', ['XEP-0368']],
  ['Core', 'Feature discovery', 'Core', ['XEP-0030']],
  ['Core', 'Feature broadcasts', 'Advanced', ['XEP-0115']],
  ['Core', 'Server extensibility', 'Core', ['XEP-0114']],
  ['Core', 'Event publishing', 'Advanced', ['XEP-0163']],
  ['Web', 'Web connection mechanisms', 'Core', ['RFC 7395', 'XEP-0206', 'XEP-0124']],
  ['Web', 'Connection mechanism discovery', 'clients only', ['XEP-0156']],
  ['IM', 'Core features', 'Core', ['RFC 6121']],
  ['IM', 'vcard-temp', 'Core', ['XEP-0054']],
  ['IM', 'Outbound message synchronization', 'Core', ['XEP-0280']],
  ['IM', 'User avatar compatibility', 'Advanced', ['XEP-0398', 'XEP-0153']],
  ['IM', 'User blocking', 'Advanced', ['XEP-0191']],
  ['IM', 'Group chat', 'Core', ['XEP-0045', 'XEP-0249']],
  ['IM', 'Advanced group chat', 'Advanced', ['XEP-0048', 'XEP-0313', 'XEP-0402', 'XEP-0410']],
  ['IM', 'Persistent storage of private data via PubSub', 'Advanced', ['XEP-0223']],
  ['IM', 'Private XML storage', 'Advanced', ['XEP-0049']],
  ['IM', 'Stream management', 'Advanced', ['XEP-0198']],
  ['IM', 'History storage and retrieval', 'Advanced', ['XEP-0313']],
  ['IM', 'File upload', 'Core', ['XEP-0363']],
  ['Mobile', 'Stream management', 'Core', ['XEP-0198']],
  ['Mobile', 'Client state indication', 'Core', ['XEP-0352']],
  ['Mobile', 'Third-party push notifications', 'Advanced', ['XEP-0357']],
  ['A/V Calling', 'STUN/TURN server discovery', 'Core', ['XEP-0215']],
];
