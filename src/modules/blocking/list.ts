// Whom an account has blocked: the list, and how addresses match it (XEP-0191 5).
import { isPromise, type MaybePromise } from '../../base/maybe.ts';
import type { KvStore } from '../../storage/ports.ts';
import type { Element } from '../../xml/element.ts';
import { StanzaError } from '../../xmpp/errors.ts';
import { Jid } from '../../xmpp/jid.ts';
import { NS } from '../../xmpp/ns.ts';

/** Addresses, prepared: of resources, of accounts, of domains. */
export class BlockList {
  readonly jids: readonly string[];
  private readonly known: ReadonlySet<string>;

  constructor(jids: readonly string[]) {
    this.jids = jids;
    this.known = new Set(jids);
  }

  /** 5: a resource matches only itself, an account all its resources, a domain all that is there. */
  has({ full, bare, domain }: Jid): boolean {
    const { known } = this;
    return known.has(full) || known.has(bare) || known.has(domain);
  }

  /** What is blocked of an account: itself, and resources that are named. */
  of(account: Jid): readonly Jid[] {
    const found = this.has(account) ? [account] : [];
    for (const text of this.jids) {
      if (text.length <= account.bare.length || !text.startsWith(account.bare)) continue;
      const jid = Jid.parse(text);
      if (jid?.bare === account.bare) found.push(jid);
    }
    return found;
  }
}

/** What the blocking of addresses offers to other modules. */
export interface Blocking {
  /** Whom an account, a localpart of this host, has blocked; undefined where that is nobody. */
  of(user: string): MaybePromise<BlockList | undefined>;
}

/** What a change has made of a list. */
export interface Changed {
  readonly was: BlockList | undefined;
  readonly is: BlockList | undefined;
}

/** Characters of all addresses of a list: each change writes the whole. */
const MOST_TEXT = 256 * 1024;

export class Lists implements Blocking {
  private readonly store: KvStore<readonly string[]>;
  private readonly mostItems: number;
  /** What the store remembers is the same array each time. */
  private readonly read = new WeakMap<readonly string[], BlockList>();

  constructor(store: KvStore<readonly string[]>, mostItems: number) {
    this.store = store;
    this.mostItems = mostItems;
  }

  of(user: string): MaybePromise<BlockList | undefined> {
    const jids = this.store.get(user);
    if (jids === undefined) return undefined;
    return isPromise(jids) ? jids.then((loaded) => this.listOf(loaded)) : this.listOf(jids);
  }

  /** @throws StanzaError `resource-constraint` where there would be too many */
  add(user: string, jids: readonly string[]): Promise<Changed> {
    return this.change(user, (old) => [...new Set([...old, ...jids])]);
  }

  remove(user: string, jids: readonly string[]): Promise<Changed> {
    const gone = new Set(jids);
    return this.change(user, (old) => old.filter((jid) => !gone.has(jid)));
  }

  clear(user: string): Promise<Changed> {
    return this.change(user, () => []);
  }

  private async change(user: string, work: (old: readonly string[]) => readonly string[]): Promise<Changed> {
    let was: readonly string[] | undefined;
    let refusal: StanzaError | undefined;
    const is = await this.store.update(user, (old) => {
      was = old;
      const changed = work(old ?? []);
      refusal = changed.length > (old?.length ?? 0) ? this.tooMuch(changed) : undefined;
      if (refusal !== undefined) return old;
      return changed.length === 0 ? undefined : changed;
    });
    if (refusal !== undefined) throw refusal;
    return { was: this.listOf(was), is: this.listOf(is) };
  }

  private tooMuch(jids: readonly string[]): StanzaError | undefined {
    if (jids.length > this.mostItems) {
      return new StanzaError('resource-constraint', `an account blocks at most ${this.mostItems} addresses`);
    }
    const length = jids.reduce((sum, jid) => sum + jid.length, 0);
    return length > MOST_TEXT ? new StanzaError('resource-constraint', 'the addresses are too long') : undefined;
  }

  private listOf(jids: readonly string[] | undefined): BlockList | undefined {
    if (jids === undefined) return undefined;
    let list = this.read.get(jids);
    if (list === undefined) {
      list = new BlockList(jids);
      this.read.set(jids, list);
    }
    return list;
  }
}

/**
 * The addresses of a command, prepared, each once.
 * @throws StanzaError `jid-malformed`; `bad-request` for anything but items
 */
export function parseItems(payload: Element): readonly string[] {
  const found = new Set<string>();
  for (const item of payload.elements()) {
    // some clients say beside the address why it is blocked
    if (isReport(item)) continue;
    if (!item.is('item', NS.blocking)) throw new StanzaError('bad-request', 'only addresses can be blocked');
    const jid = Jid.parse(item.attrs.jid ?? '');
    if (jid === undefined) throw new StanzaError('jid-malformed', 'an item needs an address');
    found.add(jid.full);
  }
  return [...found];
}

/** Whether a child says why an address is blocked (XEP-0377). */
export function isReport(child: Element): boolean {
  return child.is('report', NS.reporting) || child.is('report', NS.reporting0);
}
