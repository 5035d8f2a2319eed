// Rosters, as clients of a chaos run read them (RFC 6121 2).
import { attribute, Client, type Target } from '../../../bench/load/client.ts';

/** How long an answer may take, in milliseconds. */
const PATIENCE = 15_000;

/** What each contact is called, and how the two stand. */
export interface RosterItem {
  readonly name: string;
  readonly subscription: string;
}
export type Roster = ReadonlyMap<string, RosterItem>;

/** The roster as a node has it, read by another device of the account. */
export async function rosterAt(target: Target, number: number): Promise<Roster> {
  const client = new Client(target, number);
  client.patience = PATIENCE;
  const answer = new Promise<string>((resolve, reject) => {
    client.onStanza = (xml) => {
      if (attribute(xml.slice(0, xml.indexOf('>') + 1), 'id') === 'elsewhere') resolve(xml);
    };
    setTimeout(() => reject(new Error(`no roster of ${client.user}`)), PATIENCE).unref();
  });
  await client.login({ sm: true, presence: false, resource: 'elsewhere' });
  client.send(`<iq type='get' id='elsewhere'><query xmlns='jabber:iq:roster'/></iq>`);
  const roster = new Map(itemsOf(await answer));
  await client.close();
  return roster;
}

/** The contacts of a roster, or of a push. */
export function* itemsOf(xml: string): Iterable<[string, RosterItem]> {
  for (const [item] of xml.matchAll(/<item [^>]*>/g)) {
    const name = attribute(item, 'name') ?? '';
    yield [attribute(item, 'jid') ?? '', { name, subscription: attribute(item, 'subscription') ?? '' }];
  }
}
