// Who is told of presence (XEP-0356 7): components that see people come and go, and those that see their contacts too.
import { createHash, randomBytes } from 'node:crypto';
import type { Clock } from '../../base/clock.ts';
import { LruCache } from '../../base/lru.ts';
import { andThen, type MaybePromise } from '../../base/maybe.ts';
import type { Cluster } from '../../cluster/cluster.ts';
import type { Host } from '../../core/host.ts';
import type { Router } from '../../core/router.ts';
import type { Transit } from '../../core/transit.ts';
import { parseElement } from '../../xml/document.ts';
import { flatten } from '../../xml/flatten.ts';
import { Jid } from '../../xmpp/jid.ts';
import { type Presence, stanzaOf } from '../../xmpp/stanza.ts';
import { presenceOf, sentTo } from '../presence/stanzas.ts';
import { isTo, type Roster } from '../roster/index.ts';

/** How many resources a component is remembered to know of, so that it is not told twice (8, rule 2). */
const REMEMBERED = 20_000;
/** How many accounts are looked at in one go when a component wants to know of all contacts. */
const PAGE = 200;
/** So much is done in one go, rosters read and contacts asked; and then nothing for so many milliseconds: there is other work. */
const STEPS = 200;
const PAUSE = 50;

interface Watcher {
  readonly component: Jid;
  readonly seesContacts: boolean;
  /** What it was told last, in short, by full JID. */
  readonly told: LruCache<string, string>;
  /** The round of questions to contacts that is under way for it. */
  round: object | undefined;
}

export interface WatchersParts {
  readonly host: Host;
  readonly router: Router;
  readonly cluster: Cluster;
  readonly roster: Roster;
  readonly clock: Clock;
  readonly background: (work: Promise<unknown>, what: string) => void;
  /** Ends what is under way. */
  readonly signal: AbortSignal;
}

export class Watchers {
  private readonly parts: WatchersParts;
  private readonly watchers: readonly Watcher[];
  private readonly topic: string;
  private readonly method: string;
  /** Probes are from a resource that nobody has: answers to it reach no client. */
  private readonly resource = `privileged-${randomBytes(9).toString('base64url')}`;

  constructor(parts: WatchersParts) {
    this.parts = parts;
    this.topic = `privileged.presence ${parts.host.domain}`;
    this.method = `privileged.contact ${parts.host.domain}`;
    this.watchers = [...parts.host.grants.values()]
      .filter(({ privileges }) => privileges.presence !== 'none')
      .map(({ component, privileges }) => ({
        component,
        seesContacts: privileges.presence === 'roster',
        told: new LruCache(REMEMBERED),
        round: undefined,
      }));
  }

  get isWatched(): boolean {
    return this.watchers.length > 0;
  }

  get areContactsWatched(): boolean {
    return this.watchers.some(({ seesContacts }) => seesContacts);
  }

  /** Answers the other nodes; returns how to stop. */
  listen(): () => void {
    const { cluster } = this.parts;
    const stops = [
      cluster.subscribe(this.topic, (domain) => {
        const watcher = this.watchers.find(({ component }) => component.domain === domain);
        if (watcher === undefined) return;
        watcher.told.clear();
        this.showOwn(watcher);
      }),
      cluster.answer(this.method, (xml) => {
        const element = parseElement(String(xml));
        const from = Jid.parse(element.attrs.from ?? '');
        const to = Jid.parse(element.attrs.to ?? '');
        if (from !== undefined && to !== undefined) this.tellOfContact(stanzaOf(element, from, to) as Presence);
      }),
    ];
    return () => {
      for (const stop of stops) stop();
    };
  }

  /** 7.1: a resource comes or goes; what it says meanwhile is for its contacts. */
  own({ stanza, isInitial }: { readonly stanza: Presence; readonly isInitial: boolean }): void {
    if (stanza.type === 'available' && !isInitial) return;
    for (const watcher of this.watchers) this.tell(watcher, stanza);
  }

  /** 7.4: presence for an account, connected or not, from somebody whose presence it is subscribed to. */
  ofContact({ stanza, origin }: Transit<Presence>): MaybePromise<void> {
    if (stanza.type !== 'available' && stanza.type !== 'unavailable') return;
    const { cluster, roster, background } = this.parts;
    return andThen(roster.get(stanza.to.local, stanza.from.bare), (item) => {
      if (item === undefined || !isTo(item)) return;
      // what another server tells may come to any node, and for each of its readers: one node knows what was told (8, rule 2)
      const node = origin.kind === 'server' ? cluster.owner(stanza.from.bare) : cluster.self;
      if (node === cluster.self) return this.tellOfContact(stanza);
      const told = cluster.call(node, this.method, stanza.el.toXml()).catch(() => this.tellOfContact(stanza));
      background(told, 'telling of a contact');
    });
  }

  private tellOfContact(stanza: Presence): void {
    for (const watcher of this.watchers) if (watcher.seesContacts) this.tell(watcher, stanza);
  }

  /** 8, rule 1: a component that has just come is told what it would know if it had been here all the time. */
  catchUp(component: Jid): void {
    const watcher = this.watchers.find((one) => one.component.domain === component.domain);
    if (watcher === undefined) return;
    watcher.told.clear();
    this.parts.cluster.publish(this.topic, component.domain);
    this.showOwn(watcher);
    this.ask(component);
  }

  /** Asks for the presence of all contacts elsewhere, if the component may see it; what comes in is told as ever. */
  ask(component: Jid): void {
    const watcher = this.watchers.find((one) => one.component.domain === component.domain);
    if (watcher?.seesContacts !== true) return;
    const round = {};
    watcher.round = round;
    this.parts.background(this.probeContacts(watcher, round), 'asking for the presence of contacts');
  }

  /** A component has gone from this node: nobody has to be asked for it any more. */
  gone(component: Jid): void {
    const watcher = this.watchers.find((one) => one.component.domain === component.domain);
    if (watcher !== undefined) watcher.round = undefined;
  }

  private showOwn(watcher: Watcher): void {
    for (const { presence } of this.parts.router.sessionsOf(this.parts.host)) {
      if (presence !== undefined) this.tell(watcher, presence);
    }
  }

  /** Each contact who is not ours is asked once, whoever has it in the roster (or twice, where there are very many). */
  private async probeContacts(watcher: Watcher, round: object): Promise<void> {
    const { host, roster, router, signal } = this.parts;
    const asked = new LruCache<string, true>(REMEMBERED);
    let steps = 0;
    let last: string | undefined;
    // it has gone, or has come once more and all begins anew; or these settings hold no more
    const isOver = (): boolean => signal.aborted || watcher.round !== round;
    const step = (): MaybePromise<void> => (++steps % STEPS === 0 ? this.pause() : undefined);
    for (;;) {
      const users = await host.accounts.list(last, PAGE);
      for (const user of users) {
        await step();
        const account = Jid.of(user, host.domain, this.resource);
        for (const [contact, item] of isOver() ? [] : await roster.all(user)) {
          const to = isTo(item) ? Jid.parse(contact) : undefined;
          if (to === undefined || to.domain === host.domain || asked.get(contact) === true) continue;
          asked.set(flatten(contact), true);
          await step();
          if (isOver()) return;
          await router.tell(presenceOf('probe', account, to), host);
        }
        if (isOver()) return;
      }
      if (users.length < PAGE) return;
      last = users.at(-1);
    }
  }

  private pause(): Promise<void> {
    const { clock, signal } = this.parts;
    return new Promise((resolve) => {
      const done = (): void => {
        cancel();
        signal.removeEventListener('abort', done);
        resolve();
      };
      const cancel = clock.after(PAUSE, done);
      signal.addEventListener('abort', done);
    });
  }

  private tell({ component, told }: Watcher, stanza: Presence): void {
    const text = stanza.el.with({ to: undefined }).toXml();
    const short = createHash('sha1').update(text).digest('base64');
    const { full } = stanza.from;
    if (told.get(full) === short) return;
    told.set(flatten(full), short);
    void this.parts.router.tell(sentTo(stanza, component), this.parts.host);
  }
}
