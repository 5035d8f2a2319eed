// Every namespace, once.

export const NS = {
  // RFC 6120
  client: 'jabber:client',
  server: 'jabber:server',
  stream: 'http://etherx.jabber.org/streams',
  streams: 'urn:ietf:params:xml:ns:xmpp-streams',
  stanzas: 'urn:ietf:params:xml:ns:xmpp-stanzas',
  tls: 'urn:ietf:params:xml:ns:xmpp-tls',
  sasl: 'urn:ietf:params:xml:ns:xmpp-sasl',
  bind: 'urn:ietf:params:xml:ns:xmpp-bind',
  xml: 'http://www.w3.org/XML/1998/namespace',
  xmlns: 'http://www.w3.org/2000/xmlns/',
  // RFC 3921 (RFC 6121 1.4: kept for older clients, optional)
  session: 'urn:ietf:params:xml:ns:xmpp-session',
  // RFC 6121
  roster: 'jabber:iq:roster',
  rosterver: 'urn:xmpp:features:rosterver',
  preApproval: 'urn:xmpp:features:pre-approval',
  // XEP-0004
  dataForms: 'jabber:x:data',
  // XEP-0012
  lastActivity: 'jabber:iq:last',
  // XEP-0030
  discoInfo: 'http://jabber.org/protocol/disco#info',
  discoItems: 'http://jabber.org/protocol/disco#items',
  // XEP-0045
  mucUser: 'http://jabber.org/protocol/muc#user',
  // XEP-0049
  private: 'jabber:iq:private',
  // XEP-0059
  rsm: 'http://jabber.org/protocol/rsm',
  // XEP-0077
  register: 'jabber:iq:register',
  registerFeature: 'http://jabber.org/features/iq-register',
  // XEP-0085
  chatStates: 'http://jabber.org/protocol/chatstates',
  // XEP-0092
  version: 'jabber:iq:version',
  // XEP-0115
  caps: 'http://jabber.org/protocol/caps',
  // XEP-0157
  serverInfo: 'http://jabber.org/network/serverinfo',
  // XEP-0160
  msgOffline: 'msgoffline',
  // XEP-0220
  dialback: 'jabber:server:dialback',
  dialbackFeature: 'urn:xmpp:features:dialback',
  // XEP-0184
  receipts: 'urn:xmpp:receipts',
  // XEP-0198
  sm: 'urn:xmpp:sm:3',
  // XEP-0199
  ping: 'urn:xmpp:ping',
  // XEP-0202
  time: 'urn:xmpp:time',
  // XEP-0203
  delay: 'urn:xmpp:delay',
  // XEP-0249
  conference: 'jabber:x:conference',
  // XEP-0280
  carbons: 'urn:xmpp:carbons:2',
  carbonsRules: 'urn:xmpp:carbons:rules:0',
  // XEP-0288
  bidi: 'urn:xmpp:bidi',
  bidiFeature: 'urn:xmpp:features:bidi',
  // XEP-0297
  forward: 'urn:xmpp:forward:0',
  // XEP-0300
  hashes: 'urn:xmpp:hashes:2',
  // XEP-0333
  chatMarkers: 'urn:xmpp:chat-markers:0',
  // XEP-0334
  hints: 'urn:xmpp:hints',
  // XEP-0359
  stanzaIds: 'urn:xmpp:sid:0',
  // XEP-0380
  encryption: 'urn:xmpp:eme:0',
  // XEP-0384, and what it was before
  omemo: 'urn:xmpp:omemo:2',
  omemoSiacs: 'eu.siacs.conversations.axolotl',
  // XEP-0390
  caps2: 'urn:xmpp:caps',
  caps2Optimize: 'urn:xmpp:caps:optimize',
  // XEP-0440
  saslChannelBinding: 'urn:xmpp:sasl-cb:0',
  // XEP-0478
  streamLimits: 'urn:xmpp:stream-limits:0',
  // RFC 7395
  framing: 'urn:ietf:params:xml:ns:xmpp-framing',
  // XEP-0156, a link relation
  altWebSocket: 'urn:xmpp:alt-connections:websocket',
  // RFC 6415
  xrd: 'http://docs.oasis-open.org/ns/xri/xrd-1.0',
} as const;
