// Sending what an account's nodes have to tell (XEP-0163 4.3).
import { andThen, isPromise, type MaybePromise } from '../../base/maybe.ts';
import { Turns } from '../../base/turns.ts';
import type { Host } from '../../core/host.ts';
import type { Router } from '../../core/router.ts';
import type { Element } from '../../xml/element.ts';
import type { BareJid, Jid } from '../../xmpp/jid.ts';
import { stanzaOf } from '../../xmpp/stanza.ts';
import type { BlockList } from '../blocking/index.ts';

export interface TellingParts {
  readonly host: Host;
  readonly router: Router;
  /** Whom an account has blocked (XEP-0191). */
  blockedBy(user: string): MaybePromise<BlockList | undefined>;
  background(work: Promise<unknown>, what: string): void;
}

export class Telling {
  private readonly parts: TellingParts;
  private readonly turns = new Turns<BareJid>();

  constructor(parts: TellingParts) {
    this.parts = parts;
  }

  /** To all but those whom the account has blocked, in the order in which it happens. */
  tell(account: Jid, element: Element, to: readonly Jid[]): void {
    const { blockedBy, background } = this.parts;
    const told = this.turns.run(account.bare, () =>
      andThen(blockedBy(account.local), (list) => {
        const meant = list === undefined ? to : to.filter((one) => !list.has(one) || one.bare === account.bare);
        this.send(account, element, meant);
      }),
    );
    if (isPromise(told)) background(told, 'telling what was published');
  }

  /** 4.3.1, 4.3.2: to resources that are known to be there; to an address that has subscribed, unless its resources hear it as such. */
  private send(account: Jid, element: Element, to: readonly Jid[]): void {
    const { host, router } = this.parts;
    const devices = to.filter(({ isBare }) => !isBare);
    if (devices.length > 0) void router.multicast(element, account, devices, host);
    if (devices.length === to.length) return;
    const heard = new Set(devices.map(({ bare }) => bare));
    for (const one of to) {
      if (one.isBare && !heard.has(one.bare)) {
        void router.tell(stanzaOf(element.with({ to: one.full }), account, one), host);
      }
    }
  }
}
