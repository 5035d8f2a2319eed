// Telling: an account's registrations, and the way from some news to those of them that are to be told.
import { andThen, isPromise, type MaybePromise } from '../../base/maybe.ts';
import { counter } from '../../core/metrics.ts';
import type { Setup } from '../../core/module.ts';
import { ephemeral, kv } from '../../storage/specs.ts';
import { type Element, el } from '../../xml/element.ts';
import { Jid } from '../../xmpp/jid.ts';
import type { Iq } from '../../xmpp/stanza.ts';
import { notificationSettings } from '../notification-settings.ts';
import { isFrom, isTo, roster } from '../roster/index.ts';
import { Filters, type InRoom } from './filters.ts';
import { type Entry, Ledger } from './ledger.ts';
import { publication } from './notification.ts';
import { Outlet, type Waiting } from './outlet.ts';
import { type Registration, withRegistration } from './registration.ts';
import type { settings } from './settings.ts';
import type { Judged } from './worth.ts';

export const stores = {
  registrations: kv<readonly Registration[]>({ cache: true }),
  ledger: ephemeral<Entry>(),
  waiting: ephemeral<Waiting>(),
};
export const metrics = {
  sent: counter('Notifications that app servers have taken'),
  failed: counter('Notifications that app servers have answered with an error, or not at all'),
  disabled: counter('Registrations that were given up because of what their app servers answered'),
};
export type Parts = Setup<typeof settings._output, typeof stores, typeof metrics>;

/** What the other nodes are told: what they know of these registrations, and of their owner's wishes, is out of date. */
interface Renewed {
  readonly user: string;
  readonly ids: readonly string[];
}

export class Telling {
  private readonly parts: Parts;
  private readonly topic: string;
  private readonly ledger: Ledger;
  private readonly filters: Filters;
  private readonly outlet: Outlet;
  private readonly stops: (() => void)[];

  constructor(parts: Parts) {
    this.parts = parts;
    const { host, stores, cluster, clock, find } = parts;
    this.topic = `push ${host.domain}`;
    this.ledger = new Ledger(stores.ledger, cluster);
    this.filters = new Filters({
      wishesOf: (user) => find(notificationSettings)?.all(user, { category: 'client', type: 'phone' }) ?? new Map(),
      knows: (user, contact) =>
        andThen(find(roster)?.get(user, contact), (item) => item !== undefined && (isFrom(item) || isTo(item))),
      now: () => clock.now(),
    });
    this.outlet = this.makeOutlet();
    this.stops = [
      cluster.subscribe(this.topic, (body) => {
        const { user, ids } = body as Renewed;
        this.filters.forget(user);
        for (const id of ids) this.outlet.drop(user, id);
      }),
      cluster.onNode((node, isUp) => {
        if (!isUp && cluster.owner(this.topic) === cluster.self) this.adopt(node);
      }),
    ];
    // of an instance of this module before
    this.adopt(cluster.self);
  }

  private adopt(life: string): void {
    this.parts.background(this.outlet.adopt(life), 'going on with what another node has left');
  }

  private makeOutlet(): Outlet {
    const { parts, ledger } = this;
    const { host, config, stores, metrics, router, cluster, clock, background, signal } = parts;
    const disclosure = {
      sender: config['include-sender'],
      body: config['include-body'],
      placeholder: config.placeholder,
    };
    const request = (jid: string, id: string, payload: Element): Iq => {
      const to = Jid.parse(jid) ?? host.jid;
      const element = el('iq', null, { type: 'set', id, from: host.domain, to: to.full }, payload);
      return { kind: 'iq', type: 'set', id, el: element, from: host.jid, to, payload };
    };
    return new Outlet({
      waiting: stores.waiting,
      clock,
      signal,
      interval: config.interval,
      rate: { rate: config['per-second'], burst: config.burst },
      maxErrors: config['max-errors'],
      self: () => cluster.self,
      background,
      find: (user, id) => andThen(stores.registrations.get(user), (all) => all?.find((one) => one.id === id)),
      async summaryOf(user, id) {
        const messages = await ledger.count(user, id);
        return messages === undefined ? undefined : { messages, requests: await requestsOf(parts, user) };
      },
      async publish(registration, news, summary) {
        const payload = publication(registration, news, summary, disclosure);
        const answer = await router.request(host, (id) => request(registration.jid, id, payload), { signal });
        if (signal.aborted) return answer;
        if (answer.type === 'error') metrics.failed.inc();
        else metrics.sent.inc();
        return answer;
      },
      tell(registration, news, summary) {
        const payload = publication(registration, news, summary, disclosure);
        void router.tell(request(registration.jid, `push-${news.key}`, payload), host);
      },
      fails: (user, registration, failing) =>
        this.change(user, (all) =>
          all.map((one) => (isSame(one, registration) ? { ...without(one), ...(failing && { failing }) } : one)),
        ),
      remove: async (user, registration) => {
        metrics.disabled.inc();
        await this.change(user, (all) => all.filter((one) => !isSame(one, registration)));
        await ledger.clear(user, [registration.id]);
      },
    });
  }

  /** An account's registrations: for most there are none, and that is known at once. */
  of(user: string): MaybePromise<readonly Registration[] | undefined> {
    return this.parts.stores.registrations.get(user);
  }

  /** Goes on with an account's registrations, if there are any. */
  ofAccount(user: string, next: (all: readonly Registration[]) => MaybePromise<void>): MaybePromise<void> {
    const all = this.of(user);
    if (all === undefined) return;
    return isPromise(all) ? all.then((later) => later && next(later)) : next(all);
  }

  /** Tells registrations of an account. Resolves when that is written down. */
  async offer(
    account: Jid,
    to: readonly Registration[],
    judged: Judged,
    place?: MaybePromise<InRoom | undefined>,
  ): Promise<void> {
    if (to.length === 0) return;
    const chosen = await this.filters.choose(account, to, judged, await place);
    if (chosen.length === 0) return;
    const ids = chosen.map(({ id }) => id);
    const { local: user } = account;
    let fresh: readonly string[] | undefined;
    try {
      fresh = await this.ledger.add(user, ids, judged.news);
    } catch {
      // without Redis: it is told, and not counted
    }
    const isCounted = fresh !== undefined;
    await Promise.all((fresh ?? ids).map((id) => this.outlet.push(user, id, judged.news, isCounted)));
  }

  /** What these were told of is read, or about to be. */
  async forget(user: string, ids: readonly string[]): Promise<void> {
    for (const id of ids) this.outlet.drop(user, id);
    await this.ledger.clear(user, ids);
  }

  /** A registration was made, perhaps anew. */
  async add(user: string, made: Registration): Promise<void> {
    await this.change(user, (all) => withRegistration(all, made, this.parts.config['max-registrations']));
    await this.renewed(user, [made.id]);
  }

  /** Registrations are no more. */
  async remove(user: string, isMeant: (one: Registration) => boolean): Promise<void> {
    const gone = ((await this.parts.stores.registrations.get(user)) ?? []).filter(isMeant);
    if (gone.length === 0) return;
    await this.change(user, (all) => all.filter((one) => !isMeant(one)));
    await this.renewed(
      user,
      gone.map(({ id }) => id),
    );
  }

  /** Somebody has written down other wishes (XEP-0492). */
  wishesChanged(user: string): void {
    this.filters.forget(user);
    this.parts.cluster.publish(this.topic, { user, ids: [] } satisfies Renewed);
  }

  private async renewed(user: string, ids: readonly string[]): Promise<void> {
    await this.forget(user, ids);
    this.parts.cluster.publish(this.topic, { user, ids } satisfies Renewed);
  }

  private async change(user: string, by: (all: readonly Registration[]) => readonly Registration[]): Promise<void> {
    await this.parts.stores.registrations.update(user, (all = []) => {
      const next = by(all);
      return next.length === 0 ? undefined : next;
    });
  }

  async stop(): Promise<void> {
    for (const stop of this.stops) stop();
    await this.outlet.flush();
  }
}

async function requestsOf({ find }: Parts, user: string): Promise<number> {
  let requests = 0;
  for (const { request } of (await find(roster)?.all(user))?.values() ?? []) if (request !== undefined) requests++;
  return requests;
}

/** The same registration, not one that was made anew since. */
function isSame(one: Registration, other: Registration): boolean {
  return one.id === other.id && one.at === other.at;
}

function without({ failing: _, ...rest }: Registration): Registration {
  return rest;
}
