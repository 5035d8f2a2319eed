// Operators act through the host: what comes from its own address is theirs.
import type { Jid } from '../../xmpp/jid.ts';

/** Whether it is the host itself that asks: nobody else has its address. */
export function isOperator(asker: Jid, domain: string): boolean {
  return asker.full === domain;
}
