import { describe, expect, test } from 'vitest';
import type { SessionEntry } from '../../../../src/cluster/cluster.ts';
import type { Caps } from '../../../../src/modules/caps/index.ts';
import { personalConfig } from '../../../../src/modules/pep/defaults.ts';
import { Hearing, mayHear } from '../../../../src/modules/pep/hearing.ts';
import type { NodeConfig } from '../../../../src/modules/pubsub/config.ts';
import { Node } from '../../../../src/modules/pubsub/node.ts';
import type { EntityRow } from '../../../../src/modules/pubsub/rows.ts';
import type { Roster, RosterItem } from '../../../../src/modules/roster/index.ts';
import { Jid } from '../../../../src/xmpp/jid.ts';

const juliet = 'juliet@verona.test';
const node = (config: Partial<NodeConfig> = {}, row?: EntityRow): Node =>
  new Node({
    name: 'tune',
    config: { ...personalConfig(1000), ...config },
    creator: 'romeo@verona.test',
    createdAt: 0,
    entities: new Map(row === undefined ? [] : [[juliet, row]]),
  });
const hears = (config: Partial<NodeConfig>, row?: EntityRow, groups: readonly string[] = []): boolean =>
  mayHear(node(config, row), juliet, { groups }, 1000);
const subscribed = { subscriptions: [{ jid: juliet, subid: 'a', state: 'subscribed' as const }] };

describe('a contact who shares presence', () => {
  test.each([
    ['open', true],
    ['presence', true],
    ['roster', false],
    ['whitelist', false],
    ['authorize', false],
  ] as const)('hears of a node with the access model %s: %s', (accessModel, may) => {
    expect(hears({ accessModel })).toBe(may);
    // whatever the access model
    expect(hears({ accessModel }, { affiliation: 'member' })).toBe(true);
    expect(hears({ accessModel }, { affiliation: 'outcast' })).toBe(false);
    expect(hears({ accessModel }, { affiliation: 'publish-only' })).toBe(false);
  });

  test('hears of it in one of its groups', () => {
    const config = { accessModel: 'roster' as const, rosterGroups: ['Family', 'Friends'] };
    expect(hears(config, undefined, ['Work', 'Friends'])).toBe(true);
    expect(hears(config, undefined, ['Work'])).toBe(false);
  });

  test('hears of it when approved, for as long as that is to last', () => {
    const { subscriptions } = subscribed;
    expect(hears({ accessModel: 'authorize' }, subscribed)).toBe(true);
    expect(hears({ accessModel: 'authorize' }, { subscriptions: [{ ...subscriptions[0]!, state: 'pending' }] })).toBe(
      false,
    );
    expect(
      hears({ accessModel: 'authorize' }, { subscriptions: [{ ...subscriptions[0]!, options: { expire: 999 } }] }),
    ).toBe(false);
  });
});

describe('those who hear', () => {
  const romeo = Jid.parse('romeo@verona.test')!;
  const item = (subscription: RosterItem['subscription']): RosterItem => ({ subscription, groups: [], ver: 0 });
  const contacts = new Map([
    ['juliet@verona.test', item('both')],
    ['nurse@verona.test', item('from')],
    ['tybalt@verona.test', item('to')],
    ['paris@mantua.test', item('both')],
    ['peter@mantua.test', item('to')],
  ]);
  const wants: Record<string, string[]> = { t: ['tune'], m: ['mood'] };

  /** Sessions and values, answered at once or later. */
  function look(isLate: boolean): Promise<readonly Jid[]> {
    const late = <T>(value: T): T => (isLate ? (Promise.resolve(value) as T) : value);
    const hearing = new Hearing({
      domain: 'verona.test',
      directory: {
        sessions: (who: string) =>
          late(
            ['t', 'm', ''].flatMap((value) =>
              [true, false].map((available) => ({
                jid: Jid.parse(`${who}/${value}${available ? '' : '-away'}`)!,
                available,
                shared: value === '' ? {} : { caps: value },
              })),
            ) as unknown as SessionEntry[],
          ),
      } as never,
      roster: { all: () => late(contacts) } as unknown as Roster,
      caps: {
        of: ({ shared }) => shared.caps as string | undefined,
        elsewhere: () =>
          late(
            new Map([
              ['paris@mantua.test/t', 't'],
              ['paris@mantua.test/m', 'm'],
              ['peter@mantua.test/t', 't'],
              ['stranger@mantua.test/t', 't'],
            ]),
          ),
        features: () => new Set<string>(),
        wants: (value) => late(new Set(wants[value])),
      } satisfies Caps,
      now: () => 0,
    });
    return Promise.resolve(hearing.of(romeo, node()));
  }

  test.each([false, true])('are available, share presence and want the node (answered late: %s)', async (isLate) => {
    const found = (await look(isLate)).map(({ full }) => full);
    expect(found.sort()).toEqual([
      'juliet@verona.test/t',
      'nurse@verona.test/t',
      'paris@mantua.test/t',
      'romeo@verona.test/t',
    ]);
  });
});
