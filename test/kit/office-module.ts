// A module for tests: a ticket office at the domain, that has one owner. Answers `<ticket xmlns='urn:test:office'/>` with the next number.
import { defineModule, iqGet } from '../../src/core/module.ts';
import { kv } from '../../src/storage/specs.ts';
import { el } from '../../src/xml/element.ts';
import { type Ledger, ticketOffice } from './ticket-office.ts';

const ns = 'urn:test:office';

export default defineModule({
  xeps: [],
  summary: 'Gives numbers',
  stores: { ledgers: kv<Ledger>() },
  setup({ stores: { ledgers }, owners }) {
    const offices = owners.declare('office', ticketOffice(ledgers));
    return {
      handlers: [
        iqGet('host', ns, 'ticket', async ({ iq }) => {
          const number = await offices.call('office', { asker: iq.from.bare });
          return el('ticket', ns, { number: String(number) });
        }),
      ],
    };
  },
});
