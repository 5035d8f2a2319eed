// Who is told of presence (XEP-0356 7): components that see people come and go, and those that see their contacts too.
import { createHash, randomBytes } from 'node:crypto';
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

interface Watcher {
  readonly component: Jid;
  readonly seesContacts: boolean;
  /** What it was told last, in short, by full JID. */
  readonly told: LruCache<string, string>;
}

export interface WatchersParts {
  readonly host: Host;
  readonly router: Router;
  readonly cluster: Cluster;
  readonly roster: Roster;
  readonly background: (work: Promise<unknown>, what: string) => void;
}

export class Watchers {
  private readonly parts: WatchersParts;
  private readonly watchers: readonly Watcher[];
  private readonly topic: string;
  private readonly method: string;
  /** Probes are from a resource that nobody has: answers to it reach no client. */
  private readonly resource = `privileged-${randomBytes(9).toString('base64url')}`;
  private isStopped = false;

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
      this.isStopped = true;
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
    const { cluster, background } = this.parts;
    const watcher = this.watchers.find((one) => one.component.domain === component.domain);
    if (watcher === undefined) return;
    watcher.told.clear();
    cluster.publish(this.topic, component.domain);
    this.showOwn(watcher);
    if (watcher.seesContacts) background(this.probeContacts(), 'asking for the presence of contacts');
  }

  private showOwn(watcher: Watcher): void {
    for (const { presence } of this.parts.router.sessionsOf(this.parts.host)) {
      if (presence !== undefined) this.tell(watcher, presence);
    }
  }

  /** Each contact who is not ours is asked once, whoever has it in the roster. */
  private async probeContacts(): Promise<void> {
    const { host, roster, router } = this.parts;
    const asked = new Set<string>();
    let last: string | undefined;
    for (;;) {
      const users = await host.accounts.list(last, PAGE);
      for (const user of users) {
        const account = Jid.of(user, host.domain, this.resource);
        for (const [contact, item] of await roster.all(user)) {
          if (this.isStopped) return;
          if (!isTo(item) || asked.has(contact)) continue;
          const to = Jid.parse(contact);
          if (to === undefined || to.domain === host.domain) continue;
          asked.add(flatten(contact));
          await router.tell(presenceOf('probe', account, to), host);
        }
      }
      if (users.length < PAGE) return;
      last = users.at(-1);
    }
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
