// What contacts are owed while nobody can tell where they are.
import { expect, test } from 'vitest';
import { Arrears, type ArrearsParts } from '../../../../src/modules/presence/arrears.ts';
import { presenceOf } from '../../../../src/modules/presence/stanzas.ts';
import { StorageUnavailable } from '../../../../src/storage/errors.ts';
import { Jid } from '../../../../src/xmpp/jid.ts';
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
