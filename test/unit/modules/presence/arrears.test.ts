// What contacts are owed while nobody can tell where they are.
import { expect, test } from 'vitest';
import { BlockList } from '../../../../src/modules/blocking/list.ts';
import { Arrears, type ArrearsParts } from '../../../../src/modules/presence/arrears.ts';
import { presenceOf } from '../../../../src/modules/presence/stanzas.ts';
import { StorageUnavailable } from '../../../../src/storage/errors.ts';
import { Jid } from '../../../../src/xmpp/jid.ts';
import type { Presence } from '../../../../src/xmpp/stanza.ts';
import { turn } from '../../../kit/clock.ts';

const romeo = Jid.parse('romeo@verona.test/orchard')!;
const [first, second] = [Jid.parse('juliet@verona.test')!, Jid.parse('nurse@verona.test')!];

test.each([...Array(12).keys()])(
  'a contact that is owed something %i steps after the others were told is told, too',
  async (steps) => {
    let isAway = true;
    const told: string[] = [];
    const later = async (): Promise<void> => {
      for (let i = 0; i < steps; i++) await undefined;
      isAway = true;
      void arrears.tell(presenceOf('unavailable', romeo, second));
      isAway = false;
    };
    const arrears = new Arrears({
      router: {
        sessionOf: () => undefined,
        attempt: ({ to }: { readonly to: Jid }) => {
          if (isAway) throw new StorageUnavailable('Redis is away');
          told.push(to.bare);
          if (to === first) void later();
        },
      },
      roster: { all: () => new Map([first, second].map(({ bare }) => [bare, { subscription: 'from' }])) },
      blockedBy: () => undefined,
      inTurn: (_: Jid, work: () => void) => work(),
      showElsewhere: async () => false,
      note: () => {},
      background: () => {},
      pause: async () => {
        isAway = false;
        return true;
      },
    } as unknown as ArrearsParts);
    void arrears.tell(presenceOf('unavailable', romeo, first));
    await turn();
    expect(told).toEqual([first.bare, second.bare]);
  },
);

test("another client of the account's own is told as contacts are, and who is no contact any more is not", async () => {
  let isAway = true;
  const told: string[] = [];
  const arrears = new Arrears({
    router: {
      sessionOf: () => undefined,
      attempt: ({ to }: { readonly to: Jid }) => {
        if (isAway) throw new StorageUnavailable('Redis is away');
        told.push(to.full);
      },
    },
    roster: { all: () => new Map([[first.bare, { subscription: 'from' }]]) },
    blockedBy: () => undefined,
    inTurn: (_: Jid, work: () => void) => work(),
    showElsewhere: async () => false,
    note: () => {},
    background: () => {},
    pause: async () => {
      await undefined;
      isAway = false;
      return true;
    },
  } as unknown as ArrearsParts);
  const [own, other] = [romeo.withResource('balcony'), romeo.withResource('garden')];
  for (const to of [own, second, other, first]) void arrears.tell(presenceOf('unavailable', romeo, to));
  await turn();
  expect(told).toEqual([own.full, other.full, first.full]);
});

test('who is blocked meanwhile is told that the account has gone', async () => {
  let isAway = true;
  const told: string[] = [];
  const arrears = new Arrears({
    router: {
      sessionOf: () => ({ presence: presenceOf('available', romeo, romeo) }),
      attempt: ({ to, type }: Presence) => {
        if (isAway) throw new StorageUnavailable('Redis is away');
        told.push(`${to.bare} ${type}`);
      },
    },
    roster: { all: () => new Map([first, second].map(({ bare }) => [bare, { subscription: 'from' }])) },
    note: () => {},
    blockedBy: () => new BlockList([first.bare]),
    inTurn: (_: Jid, work: () => void) => work(),
    showElsewhere: async () => false,
    background: () => {},
    pause: async () => {
      isAway = false;
      return true;
    },
  } as unknown as ArrearsParts);
  for (const to of [first, second]) void arrears.tell(presenceOf('available', romeo, to));
  await turn();
  expect(told.toSorted()).toEqual([`${first.bare} unavailable`, `${second.bare} available`]);
});
