import { beforeEach, describe, expect, test } from 'vitest';
import type { Session } from '../../../../src/core/sessions.ts';
import { BlockList } from '../../../../src/modules/blocking/list.ts';
import type { LastAsked } from '../../../../src/modules/pep/account.ts';
import { personalConfig } from '../../../../src/modules/pep/defaults.ts';
import { LastItems } from '../../../../src/modules/pep/last-items.ts';
import type { NodeRow } from '../../../../src/modules/pubsub/rows.ts';
import type { Roster, RosterItem } from '../../../../src/modules/roster/index.ts';
import { StorageUnavailable } from '../../../../src/storage/errors.ts';
import type { Item } from '../../../../src/storage/ports.ts';
import { parseElement } from '../../../../src/xml/document.ts';
import { StanzaError } from '../../../../src/xmpp/errors.ts';
import { Jid } from '../../../../src/xmpp/jid.ts';
import { messageOf, type Stanza } from '../../../../src/xmpp/stanza.ts';
import { turn } from '../../../kit/clock.ts';

const jid = (text: string): Jid => Jid.parse(text)!;
const orchard = jid('romeo@verona.test/orchard');
const juliet = jid('juliet@verona.test');

/** Whom an account has blocked. */
let blocks: Record<string, readonly string[]>;
let rosters: Record<string, Record<string, RosterItem['subscription']>>;
let nodes: Record<string, Record<string, NodeRow['config']>>;
let guarded: string[];
let asked: (LastAsked & { readonly user: string })[];
/** What is read, each time, in the order of what is asked; released by `release`. */
let reads: { readonly names: string[]; release(): void; fail(): void }[];
let heard: string[];
let isAvailable: boolean;
let pauses: number;
/** What the owner of nodes refuses with, one time each. */
let refusals: StanzaError[];
let items: LastItems;

const session = {
  jid: orchard,
  get available() {
    return isAvailable;
  },
  deliver: (stanza: Stanza) => {
    const element = parseElement(stanza.el.toXml());
    const list = element.elements()[0]!.elements()[0]!;
    heard.push(`${stanza.from.bare} ${list.attrs.node} ${list.elements()[0]!.attrs.id}`);
    items.passes(session, stanza);
  },
} as unknown as Session;

beforeEach(() => {
  blocks = {};
  rosters = {
    romeo: { 'juliet@verona.test': 'both', 'nurse@verona.test': 'to', 'paris@mantua.test': 'both' },
    juliet: { 'romeo@verona.test': 'both' },
    nurse: {},
  };
  nodes = { romeo: { tune: {} }, juliet: { tune: {}, mood: {} }, nurse: { tune: {} } };
  guarded = [];
  asked = [];
  reads = [];
  heard = [];
  isAvailable = true;
  pauses = 0;
  refusals = [];
  const contacts = (user: string): Map<string, RosterItem> =>
    new Map(
      Object.entries(rosters[user] ?? {}).map(([who, subscription]) => [who, { subscription, groups: [], ver: 0 }]),
    );
  items = new LastItems({
    domain: 'verona.test',
    stores: {
      items: {
        newest: (names: readonly { owner: string; node: string }[]) =>
          new Promise((resolve, reject) => {
            const found = names.map(
              ({ owner, node }) => ({ id: `${owner}'s`, xml: `<x xmlns='${node}'/>`, at: 0 }) as Item,
            );
            reads.push({
              names: names.map(({ owner, node }) => `${owner} ${node}`),
              release: () => resolve(found),
              fail: () => reject(new StorageUnavailable('away')),
            });
          }),
      } as never,
      guarded: { get: (user: string) => (guarded.includes(user) ? true : undefined) } as never,
    },
    nodes: (user) =>
      new Map(Object.entries(nodes[user] ?? {}).map(([name, config]) => [name, { config, creator: user, at: 0 }])),
    roster: {
      all: (user: string) => contacts(user),
      get: (user: string, who: string) => contacts(user).get(who),
    } as unknown as Roster,
    blockedBy: (user) => (blocks[user] === undefined ? undefined : new BlockList(blocks[user])),
    defaults: () => personalConfig(1000),
    newId: () => 'id',
    pause: async () => {
      pauses++;
      return true;
    },
    background: (work) => void work,
    ask: (user, last) => {
      if (refusals.length > 0) throw refusals.shift();
      asked.push({ user, ...last });
    },
  });
});

const wanted = (...names: string[]): Promise<void> => items.toSession(session, new Set(names));

test('all that is wanted of the account and of contacts who show themselves is read in one go', async () => {
  const done = wanted('tune', 'mood', 'avatar');
  await turn();
  // the nurse has taken back what Romeo believes to have; Paris lives elsewhere
  expect(reads.map(({ names }) => names)).toEqual([['romeo tune', 'juliet tune', 'juliet mood']]);
  reads[0]!.release();
  await done;
  expect(heard).toEqual([
    "romeo@verona.test tune romeo's",
    "juliet@verona.test tune juliet's",
    "juliet@verona.test mood juliet's",
  ]);
  expect(asked).toEqual([]);
});

test('what is published meanwhile is not followed by what was there before', async () => {
  const done = wanted('tune', 'mood');
  await turn();
  const event = `<message><event xmlns='http://jabber.org/protocol/pubsub#event'><items node='mood'/></event></message>`;
  items.passes(session, messageOf(parseElement(event), juliet, orchard));
  // somebody else's message, and one to somebody else, are of no account
  items.passes(session, messageOf(parseElement(event.replace('mood', 'tune')), jid('nurse@verona.test'), orchard));
  items.passes({} as Session, messageOf(parseElement(event.replace('mood', 'tune')), juliet, orchard));
  reads[0]!.release();
  await done;
  expect(heard).toEqual(["romeo@verona.test tune romeo's", "juliet@verona.test tune juliet's"]);
});

test('nothing is sent to who has gone meanwhile', async () => {
  const done = wanted('tune');
  await turn();
  isAvailable = false;
  reads[0]!.release();
  await done;
  expect(heard).toEqual([]);
});

test('while the database is away it is tried again, as long as somebody is there', async () => {
  const done = wanted('tune');
  await turn();
  reads[0]!.fail();
  await turn();
  expect(pauses).toBe(1);
  reads[1]!.fail();
  await turn();
  reads[2]!.release();
  await done;
  expect(heard).toHaveLength(2);
});

describe('the owner of the nodes is asked', () => {
  const others = async (): Promise<(LastAsked & { readonly user: string })[]> => {
    const done = wanted('tune', 'mood');
    await turn();
    for (const { release } of reads) release();
    await done;
    return asked;
  };

  test.each([
    ['roster', { accessModel: 'roster' as const }],
    ['whitelist', { accessModel: 'whitelist' as const }],
    ['authorize', { accessModel: 'authorize' as const }],
    ['a node that keeps nothing', { isPersistent: false }],
  ])('of %s', async (_, config) => {
    nodes.juliet!.mood = config;
    expect(await others()).toEqual([{ user: 'juliet', to: orchard.full, nodes: ['mood'] }]);
    expect(heard).toEqual(["romeo@verona.test tune romeo's", "juliet@verona.test tune juliet's"]);
  });

  test('where somebody is kept out', async () => {
    guarded = ['juliet'];
    expect(await others()).toEqual([{ user: 'juliet', to: orchard.full, nodes: ['tune', 'mood'] }]);
  });

  test('again where it cannot be reached for the moment, and the others get what there is', async () => {
    refusals = [1, 2, 3].map(() => new StanzaError('remote-server-timeout'));
    nodes.juliet!.mood = { accessModel: 'roster' };
    await others();
    await turn();
    expect(asked).toEqual([{ user: 'juliet', to: orchard.full, nodes: ['mood'] }]);
    expect(pauses).toBe(3);
    expect(heard).toHaveLength(2);
  });

  test('of nothing that is not to be sent', async () => {
    nodes.juliet = { tune: { sendLast: 'never' }, mood: { deliversNotifications: false } };
    expect(await others()).toEqual([]);
    expect(heard).toEqual(["romeo@verona.test tune romeo's"]);
  });

  test('for contacts at other domains, of what there is', async () => {
    await items.toContact(juliet, jid('paris@mantua.test/tomb'), new Set(['mood', 'avatar']));
    await items.toContact(juliet, jid('paris@mantua.test/tomb'), new Set(['avatar']));
    expect(asked).toEqual([{ user: 'juliet', to: 'paris@mantua.test/tomb', nodes: ['mood'] }]);
  });
});

test('of a contact who has blocked the account nothing is read', async () => {
  blocks = { juliet: ['romeo@verona.test'] };
  const done = wanted('tune', 'mood');
  await turn();
  expect(reads.map(({ names }) => names)).toEqual([['romeo tune']]);
  reads[0]!.release();
  await done;
});
