// What an account has subscribed to through its server: rows of its own, a version that tells clients whether they know them, and the node that shows
// those that are public (XEP-0465 3.2).
import { createHash } from 'node:crypto';
import type { MapStore } from '../../storage/ports.ts';
import { type Element, el } from '../../xml/element.ts';
import { NS } from '../../xmpp/ns.ts';
import type { PersonalNodes } from '../pep/service.ts';

/** A node, wherever it is. */
export interface Place {
  /** A JID. */
  readonly service: string;
  readonly node: string;
}

/** As in XEP-0060 4.2. */
const states = ['none', 'pending', 'subscribed', 'unconfigured'] as const;
export type State = (typeof states)[number];

export interface Subscription extends Place {
  /** Where the service has given one. */
  readonly subid?: string;
  readonly state: Exclude<State, 'none'>;
  /** It is to be seen by others. */
  readonly isPublic?: true;
}

/** What a service has said of a subscription. */
export interface Said {
  readonly subid: string | undefined;
  readonly state: State;
}

/** Of a subid, in characters: longer ones are not kept. */
const MOST_SUBID = 1023;

/** What is said in a `<subscription/>` (XEP-0060 6.1.2, 12.14); undefined where that is nothing that is known. */
export function saidIn({ attrs }: Element): Said | undefined {
  const state = states.find((one) => one === attrs.subscription);
  const { subid } = attrs;
  const isKept = subid !== undefined && subid !== '' && subid.length <= MOST_SUBID;
  return state && { state, subid: isKept ? subid : undefined };
}

export interface BookParts {
  readonly store: MapStore<Subscription>;
  readonly nodes: PersonalNodes;
}

/** Changes of one account are to be made one after another. Accounts are localparts. */
export class Book {
  private readonly parts: BookParts;

  constructor(parts: BookParts) {
    this.parts = parts;
  }

  /** In the same order each time. */
  async all(user: string): Promise<readonly Subscription[]> {
    const rows = await this.parts.store.all(user);
    return [...rows].sort(([one], [other]) => (one < other ? -1 : 1)).map(([, row]) => row);
  }

  async at(user: string, { service, node }: Place): Promise<readonly Subscription[]> {
    return (await this.all(user)).filter((one) => one.service === service && one.node === node);
  }

  /** Tells whether somebody knows what there is: opaque to clients. */
  async version(user: string): Promise<string> {
    const hash = createHash('sha256');
    for (const row of await this.all(user)) hash.update(JSON.stringify([keyOf(row), row.state, row.isPublic]));
    return hash.digest('base64url').slice(0, 22);
  }

  /** There is a subscription, or none any more: without a subid, whatever there was at the node. */
  async subscribed(user: string, place: Place, { subid, state }: Said, isPublic: boolean): Promise<void> {
    const { store } = this.parts;
    if (state === 'none') {
      for (const row of await this.at(user, place)) {
        if (subid === undefined || row.subid === subid) await store.set(user, keyOf(row), undefined);
      }
    } else {
      const { service, node } = place;
      const row: Subscription = {
        service,
        node,
        state,
        ...(subid !== undefined && { subid }),
        ...(isPublic && { isPublic }),
      };
      await store.set(user, keyOf(row), row);
    }
    await this.publish(user, place);
  }

  /**
   * The service tells that what is known of a subscription has changed.
   * @returns whether it is known here, and has
   */
  async changed(user: string, place: Place, { subid, state }: Said): Promise<boolean> {
    const { store } = this.parts;
    const meant = (await this.at(user, place)).filter(
      (row) => row.state !== state && (subid === undefined || row.subid === undefined || row.subid === subid),
    );
    if (meant.length === 0) return false;
    for (const row of meant) await store.set(user, keyOf(row), state === 'none' ? undefined : { ...row, state });
    await this.publish(user, place);
    return true;
  }

  /**
   * What is at a node is not to be seen by others any more.
   * @returns what was to be, until now
   */
  async hide(user: string, place: Place): Promise<readonly Subscription[]> {
    const { store, nodes } = this.parts;
    await nodes.keep(user, NS.publicSubscriptionsNode, itemId(place), undefined);
    const hidden: Subscription[] = [];
    for (const { isPublic, ...row } of await this.at(user, place)) {
      if (isPublic !== true) continue;
      await store.set(user, keyOf(row), row);
      hidden.push(row);
    }
    return hidden;
  }

  /** XEP-0465 3.2: what counts, and is to be seen. */
  private async publish(user: string, place: Place): Promise<void> {
    const rows = await this.at(user, place);
    const isShown = rows.some(({ isPublic, state }) => isPublic === true && state === 'subscribed');
    const attrs = { node: place.node, jid: place.service };
    const payload = isShown ? el('subscription', NS.publicSubscriptions, attrs) : undefined;
    await this.parts.nodes.keep(user, NS.publicSubscriptionsNode, itemId(place), payload);
  }
}

const keyOf = ({ service, node, subid = '' }: Omit<Subscription, 'state'>): string => digest([service, node, subid]);

const itemId = ({ service, node }: Place): string => digest([service, node]);

const digest = (parts: readonly string[]): string =>
  createHash('sha256').update(JSON.stringify(parts)).digest('base64url').slice(0, 32);
