// XEP-0441: Message Archive Management Preferences: which of an account's conversations are kept.
import { andThen, isPromise, type MaybePromise } from '../../base/maybe.ts';
import type { KvStore } from '../../storage/ports.ts';
import { type Element, el } from '../../xml/element.ts';
import { StanzaError } from '../../xmpp/errors.ts';
import { type BareJid, Jid } from '../../xmpp/jid.ts';
import { NS } from '../../xmpp/ns.ts';

export const defaults = ['always', 'never', 'roster'] as const;
/** What holds for those who are in neither list. */
export type Default = (typeof defaults)[number];

export interface Prefs {
  readonly default: Default;
  /** Addresses as they are compared: a bare one stands for all its resources. */
  readonly always: readonly string[];
  readonly never: readonly string[];
}

/** Addresses of a list, at most. */
const LONGEST = 500;

export interface PreferencesParts {
  readonly store: KvStore<Prefs>;
  /** For accounts that have not said. */
  readonly default: Default;
  isInRoster(user: string, contact: BareJid): MaybePromise<boolean>;
}

export class Preferences {
  private readonly parts: PreferencesParts;
  private readonly unsaid: Prefs;

  constructor(parts: PreferencesParts) {
    this.parts = parts;
    this.unsaid = { default: parts.default, always: [], never: [] };
  }

  of(user: string): MaybePromise<Prefs> {
    return andThen(this.parts.store.get(user), (said) => said ?? this.unsaid);
  }

  /** Has them in memory when they are needed, if they can be read. */
  warm(user: string): void {
    const said = this.parts.store.get(user);
    if (isPromise(said)) said.catch(() => {});
  }

  set(user: string, prefs: Prefs): Promise<void> {
    return this.parts.store.set(user, prefs);
  }

  /** Whether messages to and from somebody are kept. A value, no promise, where the preferences were read lately. */
  wants(account: Jid, other: Jid): MaybePromise<boolean> {
    return andThen(this.parts.store.get(account.local), (said) => this.decide(said ?? this.unsaid, account, other));
  }

  // XEP-0441 2.3.1. The specification leaves open what an address in both lists means: the closer match counts, then privacy
  private decide(prefs: Prefs, account: Jid, other: Jid): MaybePromise<boolean> {
    if (prefs.never.includes(other.full)) return false;
    if (prefs.always.includes(other.full)) return true;
    if (!other.isBare) {
      if (prefs.never.includes(other.bare)) return false;
      if (prefs.always.includes(other.bare)) return true;
    }
    if (prefs.default !== 'roster') return prefs.default === 'always';
    // nobody is in the own roster; notes to oneself are kept
    return account.bare === other.bare || this.parts.isInRoster(account.local, other.bare);
  }
}

/** The `<prefs/>` that tells what holds (2.1). */
export function prefsElement({ default: fallback, always, never }: Prefs): Element {
  const list = (name: string, addresses: readonly string[]): Element =>
    el(name, NS.mam, undefined, ...addresses.map((address) => el('jid', NS.mam, undefined, address)));
  return el('prefs', NS.mam, { default: fallback }, list('always', always), list('never', never));
}

/**
 * What a client wants to hold from now on (2.1); lists that are left out are empty.
 * @throws StanzaError `bad-request`, `jid-malformed`, `policy-violation` for lists that are too long
 */
export function parsePrefs(element: Element): Prefs {
  const fallback = defaults.find((one) => one === element.attrs.default);
  if (fallback === undefined) throw new StanzaError('bad-request', `the default is one of ${defaults.join(', ')}`);
  return { default: fallback, always: addresses(element, 'always'), never: addresses(element, 'never') };
}

function addresses(element: Element, name: string): readonly string[] {
  const given = element.getChild(name)?.getChildren('jid') ?? [];
  if (given.length > LONGEST) throw new StanzaError('policy-violation', `at most ${LONGEST} addresses`);
  const prepared = given.map((child) => {
    const jid = Jid.parse(child.getText().trim());
    if (jid === undefined) throw new StanzaError('jid-malformed', 'a listed address is none');
    return jid.full;
  });
  return [...new Set(prepared)];
}
