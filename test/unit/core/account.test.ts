import { describe, expect, it } from 'vitest';
import type { NodeId, SessionEntry } from '../../../src/cluster/cluster.ts';
import { routeMessage } from '../../../src/core/account.ts';
import { el } from '../../../src/xml/element.ts';
import { Jid } from '../../../src/xmpp/jid.ts';
import { messageOf } from '../../../src/xmpp/stanza.ts';

const romeo = Jid.of('romeo', 'example.net', 'orchard');

function session(resource: string, priority: number | undefined): SessionEntry {
  return {
    jid: Jid.of('juliet', 'example.com', resource),
    node: 'solo' as NodeId,
    sid: resource,
    available: priority !== undefined,
    priority: priority ?? 0,
    shared: {},
  };
}

/** Who gets it, or what happens when nobody does. */
function outcome(type: string, resource: string, sessions: SessionEntry[]): string {
  const to = Jid.of('juliet', 'example.com', resource);
  const route = routeMessage(messageOf(el('message', null, { type }), romeo, to), sessions);
  return route.to.length > 0 ? route.to.map((entry) => entry.jid.resource).join(' ') : route.otherwise;
}

const high = session('high', 10);
const alsoHigh = session('also', 10);
const low = session('low', 0);
const negative = session('negative', -1);
const connected = session('connected', undefined);

// RFC 6121 8.5.2 and 8.5.3: type, resource in the address, sessions, outcome
const bare: [string, SessionEntry[], string][] = [
  ['chat', [low, high, negative], 'high'],
  ['chat', [high, alsoHigh, low], 'high also'],
  ['chat', [negative, connected], 'store'],
  ['chat', [], 'store'],
  ['normal', [low, high], 'high'],
  ['normal', [negative], 'store'],
  ['headline', [low, high, negative, connected], 'low high'],
  ['headline', [negative], 'ignore'],
  ['headline', [], 'ignore'],
  ['groupchat', [high], 'refuse'],
  ['groupchat', [], 'refuse'],
  ['error', [high], 'ignore'],
  ['error', [], 'ignore'],
  ['nonsense', [high], 'high'],
];
const full: [string, string, SessionEntry[], string][] = [
  ...['chat', 'normal', 'headline', 'groupchat', 'error'].map((type): [string, string, SessionEntry[], string] => [
    type,
    'negative',
    [high, negative],
    'negative',
  ]),
  ['chat', 'connected', [high, connected], 'connected'],
  ['chat', 'gone', [low, high], 'high'],
  ['chat', 'gone', [negative], 'store'],
  ['normal', 'gone', [high], 'refuse'],
  ['groupchat', 'gone', [high], 'refuse'],
  ['headline', 'gone', [high], 'ignore'],
  ['error', 'gone', [high], 'ignore'],
];

describe('a message to a bare JID', () => {
  it.each(bare)('of type %s', (type, sessions, expected) => {
    expect(outcome(type, '', sessions)).toBe(expected);
  });
});

describe('a message to a full JID', () => {
  it.each(full)('of type %s to /%s', (type, resource, sessions, expected) => {
    expect(outcome(type, resource, sessions)).toBe(expected);
  });
});
