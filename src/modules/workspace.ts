// The identity of a workspace: what a domain is called, its colour and its icon. Clients of Prose know it as the profile (vCard4) and the picture of an
// account that everybody has in their roster, and which they do not show there; others as the vCard of the domain (XEP-0054, XEP-0292). There
// is none until an operator sets one.
import { randomBytes } from 'node:crypto';
import { accountRegistering, sessionPresence } from '../core/events.ts';
import { defineModule, defineService, iqGet, on, provide } from '../core/module.ts';
import { kv } from '../storage/specs.ts';
import { type Element, el } from '../xml/element.ts';
import { StanzaError } from '../xmpp/errors.ts';
import { Jid } from '../xmpp/jid.ts';
import { NS } from '../xmpp/ns.ts';
import { type Presence, stanzaOf } from '../xmpp/stanza.ts';
import { avatars } from './avatars/index.ts';
import { type Picture, readPicture } from './avatars/picture.ts';
import { roster as rosterService } from './roster/index.ts';
import { photoOf } from './vcard.ts';
import { profiles } from './vcard4/index.ts';
import { vcardTempFrom } from './vcard4/to-temp.ts';

/** The account that Prose looks for. */
const ACCOUNT = 'prose-workspace';

export interface WorkspaceIdentity {
  readonly name: string;
  /** `#rrggbb`. */
  readonly color: string | undefined;
  readonly icon: Picture | undefined;
}

export interface WorkspaceChange {
  readonly name?: string | undefined;
  readonly color?: string | undefined;
  readonly icon?: string | undefined;
}

export interface Workspaces {
  /** Undefined where nobody has set anything. */
  identity(): Promise<WorkspaceIdentity | undefined>;
  /**
   * Changes what is given, and leaves the rest.
   * @param icon in base64; `''` for none
   * @throws StanzaError `conflict` where the account is somebody's, and what is wrong with the icon
   */
  set(change: WorkspaceChange): Promise<void>;
}
export const workspaces = defineService<Workspaces>('workspaces');

export default defineModule({
  xeps: [],
  summary: 'What the domain is called, its colour and its icon, for clients that show it',
  provides: [workspaces],
  needs: [profiles, avatars, rosterService],
  // (of the account, so that it goes with it)
  stores: { made: kv<true>({ cache: true }) },

  setup({ host, stores, router, cluster, use, background }) {
    const profile = use(profiles);
    const pictures = use(avatars);
    const roster = use(rosterService);
    const account = Jid.of(ACCOUNT, host.domain);
    const isAnonymous = host.settings.authentication === 'anonymous';
    const topic = `workspace ${host.domain}`;

    async function identity(): Promise<WorkspaceIdentity | undefined> {
      if ((await stores.made.get(ACCOUNT)) === undefined) return undefined;
      const card = await profile.read(ACCOUNT);
      return {
        name: (card && textIn(card, 'fn')) ?? host.domain,
        color: card && textIn(card, 'x-accent-color'),
        icon: await pictures.picture(ACCOUNT),
      };
    }

    /** Nobody can log in as it. */
    async function makeAccount(): Promise<void> {
      if ((await stores.made.get(ACCOUNT)) !== undefined) return;
      if (await host.accounts.exists(ACCOUNT)) {
        throw new StanzaError('conflict', `${account.bare} is somebody's account; remove it first`);
      }
      await host.accounts.create(ACCOUNT, randomBytes(32).toString('base64url'));
      await host.accounts.disable(ACCOUNT);
      await stores.made.set(ACCOUNT, true);
    }

    const set: Workspaces['set'] = async ({ name, color, icon }) => {
      const picture = icon === undefined || icon === '' ? undefined : readPicture(icon, pictures.most);
      await makeAccount();
      const before = await profile.read(ACCOUNT);
      const said: Readonly<Record<string, string | undefined>> = {
        kind: 'application',
        fn: name ?? (before && textIn(before, 'fn')) ?? host.domain,
        'x-accent-color': color ?? (before && textIn(before, 'x-accent-color')),
      };
      const rest = (before ?? el('vcard', NS.vcard4Xml)).without((child) => Object.hasOwn(said, child.name));
      const parts = Object.entries(said).flatMap(([part, text]) => (text === undefined ? [] : [v4(part, text)]));
      await profile.write(ACCOUNT, rest.append(...parts));
      if (picture !== undefined) await pictures.publish(ACCOUNT, picture);
      else if (icon === '') await pictures.remove(ACCOUNT);
      cluster.publish(topic, true);
      await introduceAll();
    };

    /** To those of this node. */
    async function introduceAll(): Promise<void> {
      const present = router.sessionsOf(host).filter(({ available }) => available);
      for (const user of new Set(present.map(({ jid }) => jid.local))) await introduce(user);
    }

    /** A subscription of both to each other: only so are members told of its profile without asking. */
    async function introduce(user: string): Promise<void> {
      if (user === ACCOUNT || isAnonymous || (await stores.made.get(ACCOUNT)) === undefined) return;
      const member = Jid.of(user, host.domain);
      if ((await roster.get(user, account.bare))?.subscription !== 'both') await subscribe(member, account);
      if ((await roster.get(ACCOUNT, member.bare))?.subscription !== 'both') await subscribe(account, member);
    }

    async function subscribe(one: Jid, other: Jid): Promise<void> {
      const presence = (from: Jid, to: Jid, type: 'subscribe' | 'subscribed'): Presence =>
        stanzaOf(el('presence', null, { from: from.bare, to: to.bare, type }), from, to) as Presence;
      await roster.sending(other, one, 'subscribed');
      await roster.sending(one, other, 'subscribe');
      await roster.receiving(other, one, 'subscribe', presence(one, other, 'subscribe'));
      await roster.receiving(one, other, 'subscribed', presence(other, one, 'subscribed'));
    }

    async function domainCard(): Promise<Element> {
      const card = (await stores.made.get(ACCOUNT)) === undefined ? undefined : await profile.read(ACCOUNT);
      if (card === undefined) throw new StanzaError('item-not-found');
      return card;
    }

    return {
      handlers: [
        provide(workspaces, { identity, set }),
        // what it says its clients take for the domain's word
        on(accountRegistering, { phase: 'check' }, ({ user }) =>
          user === ACCOUNT ? new StanzaError('conflict', 'This name is reserved') : undefined,
        ),
        on(sessionPresence, ({ session, was }) => {
          if (was !== undefined || !session.available) return;
          background(introduce(session.jid.local), 'introducing the workspace');
        }),
        iqGet('host', NS.vcard4Xml, 'vcard', domainCard),
        iqGet('host', NS.vcardTemp, 'vCard', async () => {
          const card = vcardTempFrom(await domainCard());
          const icon = await pictures.picture(ACCOUNT);
          return icon === undefined ? card : card.append(photoOf(icon));
        }),
      ],
      stop: cluster.subscribe(topic, () => background(introduceAll(), 'introducing the workspace')),
    };
  },
});

const v4 = (name: string, text: string): Element =>
  el(name, NS.vcard4Xml, undefined, el('text', NS.vcard4Xml, undefined, text));

const textIn = (card: Element, name: string): string | undefined => card.getChild(name)?.getChildText('text');
