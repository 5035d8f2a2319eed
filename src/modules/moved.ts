// XEP-0283: Moved. Somebody has another address now: the old account says so at a node, the new one asks the contacts, and their server believes it when
// both say the same. Nobody has to do anything, and lists of contacts stay whole.
//
// - 4.4: what stands in a request is looked into only where the old address may see the account. While it is, the request waits here; where the process ends
//   in between, it is the new account's server that repeats it (RFC 6121 3.1.2), where that is another one.
// - 4.4: the new contact gets the name and the groups of the old one, beyond what is asked for.
// - 4.3, note: of an account that was removed after it had moved those who could see it are told `gone`, with the new address; nobody else is told of it (7.1).
// - 7.1: who may change an account may move it; there is no access to an account that may less.
import { andThen, type MaybePromise } from '../base/maybe.ts';
import { Turns } from '../base/turns.ts';
import { accountCreated, accountRemoving, iqAnswer, presenceIn } from '../core/events.ts';
import { counter } from '../core/metrics.ts';
import { defineModule, defineService, on, provide } from '../core/module.ts';
import type { AdminMoves, OldContact } from '../core/move-commands.ts';
import type { Transit } from '../core/transit.ts';
import { map } from '../storage/specs.ts';
import { parseElement } from '../xml/document.ts';
import { type Element, el } from '../xml/element.ts';
import { StanzaError } from '../xmpp/errors.ts';
import { Jid } from '../xmpp/jid.ts';
import { NS } from '../xmpp/ns.ts';
import { type Iq, type Presence, stanzaOf } from '../xmpp/stanza.ts';
import { pep } from './pep/service.ts';
import { subscribing as subscribingService } from './presence/index.ts';
import { pubsubError } from './pubsub/errors.ts';
import { itemPublish } from './pubsub/hooks.ts';
import { isFrom, isTo, isVisible, roster as rosterService } from './roster/index.ts';

export const moves = defineService<AdminMoves>('moves');

/** Where a removed account has gone, and who may know. */
interface Redirect {
  readonly to: string;
  /** Bare JIDs. */
  readonly contacts: readonly string[];
}

/** The one item of the node. */
const CURRENT = 'current';
/** Whose redirects are: those of the host. */
const EVERYBODY = '';
/** Requests that are looked into at a time; more are requests like any other. */
const MOST = 1000;

export default defineModule({
  xeps: ['XEP-0283 0.2.0'],
  summary: 'Takes people along who have moved to another address, without asking their contacts',
  needs: [pep, rosterService, subscribingService],
  provides: [moves],
  stores: { redirects: map<Redirect>() },
  metrics: { followed: counter('Contacts that were found at another address, by their own word') },

  setup({ host, stores, metrics, router, use, background, signal }) {
    const nodes = use(pep);
    const roster = use(rosterService);
    const subscribing = use(subscribingService);
    /** Requests that wait here: whose, and of whom. */
    const waiting = new Set<string>();
    /** By account and old address. */
    const turns = new Turns<string>();

    /** 4.4, 1 and 2: all that can be known at once. */
    function receive({ stanza }: Transit<Presence>): MaybePromise<'handled' | undefined> {
      if (stanza.type !== 'subscribe') return undefined;
      const old = addressIn(stanza.el, 'old-jid');
      const account = stanza.to.withResource('');
      const contact = stanza.from.withResource('');
      if (old === undefined || old.bare === contact.bare || old.bare === account.bare) return undefined;
      return andThen(roster.get(account.local, old.bare), (item) => {
        if (!isVisible(item) || !isFrom(item)) return undefined;
        const key = `${account.bare} ${contact.bare}`;
        if (waiting.has(key)) return 'handled';
        if (waiting.size >= MOST) return undefined;
        waiting.add(key);
        const work = follow(stanza, account, contact, old).finally(() => waiting.delete(key));
        background(work, 'looking for who has moved');
        return 'handled';
      });
    }

    /** 4.4, 3 and 4: what does not hold is a request like any other, with everything that stands in it. */
    async function follow(request: Presence, account: Jid, contact: Jid, old: Jid): Promise<void> {
      const said = await statementOf(account, old).catch(() => undefined);
      if (said?.bare !== contact.bare) return subscribing.take(request);
      // 7.2: each address moves once, also where its server says of many at a time that they are the new one
      await turns.run(`${account.bare} ${old.bare}`, () => replace(request, account, contact, old));
    }

    async function replace(request: Presence, account: Jid, contact: Jid, old: Jid): Promise<void> {
      const item = await roster.get(account.local, old.bare);
      // (it may have been revoked meanwhile)
      if (!isVisible(item) || !isFrom(item)) return subscribing.take(request);
      await subscribing.approve(account, contact);
      await subscribing.take(request);
      if (item.name !== undefined || item.groups.length > 0) {
        const there = await roster.get(account.local, contact.bare);
        if (there?.name === undefined && there?.groups.length === 0)
          await roster.set(account, contact, item.name, item.groups);
      }
      await subscribing.revoke(account, old);
      if (isTo(item)) await subscribing.request(account, contact);
      metrics.followed.inc();
    }

    /** Where the old account says that it has gone; a server that knows no such account any more may say it as well (4.3, note). */
    async function statementOf(account: Jid, old: Jid): Promise<Jid | undefined> {
      const items = el('items', NS.pubsub, { node: NS.moved }, el('item', NS.pubsub, { id: CURRENT }));
      const make = (id: string): Iq => {
        const attrs = { type: 'get', id, from: account.bare, to: old.bare };
        return stanzaOf(el('iq', null, attrs, el('pubsub', NS.pubsub, undefined, items)), account, old) as Iq;
      };
      const { el: answer } = await router.request(host, make, { signal });
      // (of an account that is here, what is stored comes as text)
      const reply = parseElement(answer.toXml());
      if (reply.attrs.type === 'result') {
        const found = reply.getChild('pubsub', NS.pubsub)?.getChild('items');
        const item = found?.attrs.node === NS.moved ? found.getChildren('item')[0] : undefined;
        return item && addressIn(item, 'new-jid');
      }
      const gone = reply.getChild('error')?.getChild('gone', NS.stanzas)?.getText().trim() ?? '';
      return addressInUri(gone);
    }

    async function declared(user: string): Promise<Jid | undefined> {
      const [item] = await nodes.items(user, NS.moved, { most: 1 });
      return item?.payload && addressOf(item.payload, 'new-jid');
    }

    /** An account that has moved is removed: those who could see it may know where it is. */
    async function remember(user: string): Promise<void> {
      const to = await declared(user);
      if (to === undefined) return;
      const items = await roster.all(user);
      const contacts = [...items].filter(([, item]) => isFrom(item)).map(([contact]) => contact);
      await stores.redirects.set(EVERYBODY, user, { to: to.bare, contacts });
    }

    function answerGone({
      stanza: { to, from, type, el: element },
    }: Transit<Iq>): MaybePromise<StanzaError | undefined> {
      if (type !== 'get' || to.local === '') return undefined;
      if (element.getChild('pubsub', NS.pubsub)?.getChild('items')?.attrs.node !== NS.moved) return undefined;
      return andThen(host.accounts.exists(to.local), (isThere) =>
        isThere
          ? undefined
          : andThen(stores.redirects.get(EVERYBODY, to.local), (redirect) =>
              redirect?.contacts.includes(from.bare)
                ? new StanzaError('gone', undefined, { content: `xmpp:${redirect.to}` })
                : undefined,
            ),
      );
    }

    async function contactsOf(user: string): Promise<readonly OldContact[]> {
      return [...(await roster.all(user))].flatMap(([address, item]) => {
        const jid = Jid.parse(address);
        if (jid === undefined || !isVisible(item) || item.subscription === 'none') return [];
        return [{ jid, name: item.name, groups: item.groups, sees: isFrom(item) }];
      });
    }

    /** 4.2. Who could see the old account may see the new one. */
    async function announce(user: string, old: Jid, contacts: readonly OldContact[]): Promise<number> {
      const account = Jid.of(user, host.domain);
      const moved = el('moved', NS.moved, undefined, el('old-jid', NS.moved, undefined, old.bare));
      let asked = 0;
      for (const { jid: contact, name, groups, sees } of contacts) {
        if (contact.bare === account.bare) continue;
        if (!isVisible(await roster.get(user, contact.bare))) await roster.set(account, contact, name, groups);
        if (sees) await subscribing.approve(account, contact);
        await subscribing.request(account, contact, moved);
        asked++;
      }
      return asked;
    }

    return {
      handlers: [
        provide(moves, {
          async declare(user, to) {
            const payload = el('moved', NS.moved, undefined, el('new-jid', NS.moved, undefined, to.bare));
            await nodes.publish(user, NS.moved, payload, { id: CURRENT, expected: { access_model: 'presence' } });
          },
          declared,
          contacts: contactsOf,
          announce,
        }),
        on(presenceIn, { phase: 'check', after: ['blocking', 'invitations'] }, receive),
        on(iqAnswer, { phase: 'delegate' }, answerGone),
        on(itemPublish, { phase: 'check' }, ({ node, payload }) =>
          node.name === NS.moved && (payload === undefined || addressOf(payload, 'new-jid') === undefined)
            ? pubsubError('invalid-payload', 'a statement names one new address')
            : undefined,
        ),
        on(accountRemoving, { before: ['pep', 'presence'] }, ({ user }) => remember(user)),
        on(accountCreated, ({ user }) =>
          background(stores.redirects.set(EVERYBODY, user, undefined), 'forgetting where somebody else has gone'),
        ),
      ],
    };
  },
});

/** The address in a `<moved/>` inside: a bare one; undefined where there is none, or more than one. */
function addressIn(parent: Element, name: 'old-jid' | 'new-jid'): Jid | undefined {
  const moved = parent.getChild('moved', NS.moved);
  return moved && addressOf(moved, name);
}

function addressOf(moved: Element, name: 'old-jid' | 'new-jid'): Jid | undefined {
  if (!moved.is('moved', NS.moved)) return undefined;
  const [found, ...others] = moved.getChildren(name);
  const jid = found === undefined || others.length > 0 ? undefined : Jid.parse(found.getText().trim());
  return jid?.isBare && jid.local !== '' ? jid : undefined;
}

/** RFC 5122: `xmpp:user@example.org`. */
function addressInUri(text: string): Jid | undefined {
  const [, written] = /^xmpp:([^?#/]+)$/.exec(text) ?? [];
  if (written === undefined) return undefined;
  try {
    const jid = Jid.parse(decodeURIComponent(written));
    return jid?.isBare && jid.local !== '' ? jid : undefined;
  } catch {
    return undefined;
  }
}
