// A thing that must have one owner, for tests: an office that gives consecutive numbers to whoever asks. Two owners would show as a number
// that is given twice, or never.
import { Turns } from '../../src/base/turns.ts';
import type { Lease } from '../../src/cluster/cluster.ts';
import type { Kind } from '../../src/core/owners/kind.ts';
import { StanzaError } from '../../src/xmpp/errors.ts';

/** What is stored of an office. */
export interface Ledger {
  /** The last number that was given. */
  readonly last: number;
  /** What each who asked was given last, and for which request. */
  readonly given: Readonly<Record<string, { readonly id: string; readonly number: number }>>;
}

/** Where ledgers are; writing replaces. */
export interface Ledgers {
  get(key: string): Promise<Ledger | undefined> | Ledger | undefined;
  set(key: string, ledger: Ledger): Promise<void>;
}

export interface Office {
  readonly key: string;
  readonly lease: Lease;
  readonly turns: Turns<string>;
  /** Came with it when it moved, and does not matter. */
  readonly baggage: string;
  ledger: Ledger;
}

export interface Ask {
  readonly asker: string;
}

/** Offices with these ledgers; `more` lays other properties of the kind over them. */
export function ticketOffice(
  ledgers: Ledgers,
  more: Partial<Kind<Office, Ask, number>> = {},
  baggage = '',
): Kind<Office, Ask, number> {
  const give = async (office: Office, { asker }: Ask, id: string): Promise<number> => {
    const before = office.ledger.given[asker];
    if (before?.id === id) return before.number;
    const number = office.ledger.last + 1;
    const ledger: Ledger = { last: number, given: { ...office.ledger.given, [asker]: { id, number } } };
    while (!office.lease.isValid) if (!(await office.lease.confirm())) throw new StanzaError('remote-server-timeout');
    await ledgers.set(office.key, ledger);
    office.ledger = ledger;
    return number;
  };
  return {
    repeats: true,
    async thaw(key, lease, handed) {
      const carried = handed as { readonly baggage: string; readonly ledger: Ledger } | undefined;
      const ledger = carried?.ledger ?? (await ledgers.get(key)) ?? { last: 0, given: {} };
      return { key, lease, turns: new Turns(), ledger, baggage: carried?.baggage ?? baggage };
    },
    handle: (office, ask, id) => office.turns.run('', () => give(office, ask, id!)),
    freeze: (office) => ({ ledger: office.ledger, baggage: office.baggage }),
    ...more,
  };
}
