// XEP-0084: User Avatar, XEP-0153: vCard-Based Avatars, and XEP-0398, which makes one of the other. There is one picture, at the nodes of
// the account; as the PHOTO of its vCard (modules/vcard.ts) it is read from there by those who may read the nodes (XEP-0398 5.2), and
// written to there. What is kept beside is its hash, for presence.
//
// - The nodes are open unless their owner decides otherwise, as a vCard is (XEP-0054 7): a picture that is told of in rooms can be fetched.
// - Of a picture for contacts only, its hash goes to contacts and not with directed presence, against XEP-0398 4: in a room nobody could fetch the
//   picture, but know its owner by it. Of one for fewer than all contacts, nobody is told.
// - XEP-0398 5.1: when the picture changes, what was broadcast is broadcast anew; clients send rooms their presence again.
// - XEP-0084 5.1, SHOULD: no XEP-0033 `replyto` (see modules/pep).
// - XEP-0084 4.2: formats other than PNG are taken as they are.
import { z } from 'zod';
import { andThen, isPromise, type MaybePromise } from '../../base/maybe.ts';
import { Turns } from '../../base/turns.ts';
import { bytes } from '../../config/schema.ts';
import { presenceOut } from '../../core/events.ts';
import { defineModule, defineService, on, provide } from '../../core/module.ts';
import { defineSlot, type Session } from '../../core/sessions.ts';
import { Transit } from '../../core/transit.ts';
import { kv } from '../../storage/specs.ts';
import { type Element, el } from '../../xml/element.ts';
import { StanzaError } from '../../xmpp/errors.ts';
import { Jid } from '../../xmpp/jid.ts';
import { NS } from '../../xmpp/ns.ts';
import type { Presence } from '../../xmpp/stanza.ts';
import { pep } from '../pep/service.ts';
import type { NodeConfig } from '../pubsub/config.ts';
import { pubsubError } from '../pubsub/errors.ts';
import {
  type ItemPublish,
  itemPublish,
  itemPublished,
  itemsRetracted,
  nodeConfigured,
  nodeDefaults,
  nodeDeleted,
  nodePurged,
} from '../pubsub/hooks.ts';
import type { Node } from '../pubsub/node.ts';
import { type Picture, readPicture } from './picture.ts';
import { declines, hashIn, withHash, withoutHash } from './update.ts';

/** The pictures of accounts, by localpart. */
export interface Avatars {
  /** Of a picture, in bytes. */
  readonly most: number;
  /**
   * The account's picture, where there is one.
   * @param as who looks, if not the account itself
   * @throws StanzaError where whoever looks may not
   */
  picture(user: string, as?: Jid): Promise<Picture | undefined>;
  /**
   * Publishes another picture.
   * @param type what its owner says it is, for what is not known here
   */
  publish(user: string, picture: Picture, type?: string): Promise<void>;
  /** Takes it back. */
  remove(user: string): Promise<void>;
}
export const avatars = defineService<Avatars>('avatars');

/** What is told of a picture, and to whom. */
interface Shown {
  /** `''` where there was a picture and is none any more: those who know it are to forget it. */
  readonly hash: string;
  readonly to: 'all' | 'contacts' | 'nobody';
}

/** What a hook tells of. */
interface At {
  readonly service: Jid;
  readonly node: Pick<Node, 'name'>;
}

/** The client wants no picture shown with what it broadcasts (XEP-0398 4). */
const declined = defineSlot<true>('avatar-declined', { kept: { save: () => true, restore: () => true } });

const names: ReadonlySet<string> = new Set([NS.avatarData, NS.avatarMetadata]);
const mediaType = /^(image|video)\/[\w.+-]{1,64}$/;

export default defineModule({
  xeps: ['XEP-0084 1.1.4', 'XEP-0153 1.1.1', 'XEP-0398 1.0.0'],
  summary: 'Pictures of people, one for clients of all ages: at nodes, in vCards, and told of in presence',
  provides: [avatars],
  needs: [pep],
  stores: { shown: kv<Shown>({ cache: true }) },
  config: z.strictObject({
    'max-bytes': bytes().prefault('128KiB').meta({
      description: 'The largest picture; `modules.pep.max-payload` has to leave room for it in base64.',
    }),
  }),

  setup({ host, config, stores, router, cluster, use, background }) {
    const nodes = use(pep);
    const most = config['max-bytes'];
    const turns = new Turns<string>();
    const topic = `avatars ${host.domain}`;

    /** The first picture that is here, and not at some address (XEP-0398 3.1), of those that are told of. */
    async function current(user: string, as?: Jid): Promise<Picture | undefined> {
      const reader = as === undefined ? {} : { as };
      const [item] = await nodes.items(user, NS.avatarMetadata, { most: 1, ...reader });
      const infos = (item?.payload === undefined ? [] : infosOf(item.payload)).filter(
        ({ attrs: { url } }) => url === undefined,
      );
      if (infos.length === 0) return undefined;
      const found = await nodes.items(user, NS.avatarData, { ids: infos.map(({ attrs }) => attrs.id!), ...reader });
      for (const { attrs } of infos) {
        const data = found.find(({ id }) => id === attrs.id)?.payload;
        if (data === undefined) continue;
        const picture = readPicture(data.getText(), Number.POSITIVE_INFINITY);
        return { ...picture, type: picture.type ?? attrs.type };
      }
      return undefined;
    }

    /** Looks what there is to be told of now, and tells those who do not know yet. */
    async function refresh(user: string): Promise<void> {
      const before = await stores.shown.get(user);
      const picture = await current(user);
      if (picture === undefined && before === undefined) return;
      const to = audience(await nodes.config(user, NS.avatarMetadata), await nodes.config(user, NS.avatarData));
      const now: Shown = picture === undefined ? { hash: '', to: 'all' } : { hash: picture.hash, to };
      if (before?.hash === now.hash && before.to === now.to) return;
      await stores.shown.set(user, now);
      cluster.publish(topic, user);
      await renew(user);
    }

    /** XEP-0398 4: what the sessions of an account on this node have broadcast is broadcast anew, with what holds now. */
    async function renew(user: string): Promise<void> {
      const shown = await stores.shown.get(user);
      if (shown === undefined) return;
      const hash = toldIn(shown, true);
      for (const { jid } of await cluster.directory.sessions(Jid.of(user, host.domain).bare)) {
        const session = router.sessionOf(jid.full);
        const presence = session?.presence;
        if (presence === undefined || session!.get(declined) || hashIn(presence.el) === hash) continue;
        await sayAgain(session!, presence);
      }
    }

    /** As if the client had said it: everything that looks at presence does. */
    async function sayAgain(session: Session, presence: Presence): Promise<void> {
      const stanza = { ...presence, el: withoutHash(presence.el) };
      await host.gate(presenceOut, new Transit<Presence>(stanza, { kind: 'client', session }));
    }

    /** What is known of an account's picture; nothing while the database is away. */
    function shownOf(user: string): MaybePromise<Shown | undefined> {
      try {
        const shown = stores.shown.get(user);
        return isPromise(shown) ? shown.catch(() => undefined) : shown;
      } catch {
        return undefined;
      }
    }

    function stamp(transit: Transit<Presence>): MaybePromise<void> {
      const { stanza, origin } = transit;
      if (stanza.type !== 'available' || origin.kind !== 'client') return;
      const { session } = origin;
      const isBroadcast = stanza.el.attrs.to === undefined;
      if (isBroadcast) {
        const isDeclined = declines(stanza.el) || undefined;
        if (session.get(declined) !== isDeclined) void session.set(declined, isDeclined);
      }
      return andThen(shownOf(session.jid.local), (shown) => {
        const hash = shown && toldIn(shown, isBroadcast);
        if (hash !== undefined) transit.stanza = { ...transit.stanza, el: withHash(transit.stanza.el, hash) };
      });
    }

    function check({ node, id, payload }: ItemPublish): StanzaError | undefined {
      if (node.name === NS.avatarMetadata) {
        return payload?.is('metadata', NS.avatarMetadata) && infosOf(payload).every(isInfo)
          ? undefined
          : pubsubError('invalid-payload', 'each <info/> has `bytes`, `id` and `type`');
      }
      if (node.name !== NS.avatarData) return undefined;
      if (!payload?.is('data', NS.avatarData)) return pubsubError('invalid-payload', 'a picture is <data/>');
      try {
        const { hash } = readPicture(payload.getText(), most);
        // XEP-0398 3.1, XEP-0084 3.1
        return hash === id.toLowerCase() ? undefined : pubsubError('invalid-payload', `its SHA-1 is ${hash}`);
      } catch (error) {
        if (!(error instanceof StanzaError)) throw error;
        return pubsubError(error.condition === 'bad-request' ? 'invalid-payload' : 'payload-too-big', error.text);
      }
    }

    /** XEP-0398 3.2: the picture first, and then what tells of it. */
    async function publish(user: string, picture: Picture, type?: string): Promise<void> {
      const { hash: id, base64, size } = picture;
      if ((await current(user))?.hash === id) return;
      const said = type !== undefined && mediaType.test(type) ? type : undefined;
      const info = { bytes: String(size), id, type: picture.type ?? said ?? 'image/png' };
      await nodes.publish(user, NS.avatarData, el('data', NS.avatarData, undefined, base64), { id });
      await nodes.publish(user, NS.avatarMetadata, metadata(el('info', NS.avatarMetadata, info)), { id });
    }

    async function remove(user: string): Promise<void> {
      const picture = await current(user);
      if (picture === undefined) return;
      await nodes.publish(user, NS.avatarMetadata, metadata());
      await nodes.retract(user, NS.avatarData, [picture.hash]);
    }

    const changed = ({ service: { local }, node }: At): MaybePromise<void> =>
      names.has(node.name) ? turns.run(local, () => refresh(local)) : undefined;

    /** A picture that was told of before it came. */
    async function arrived(event: At & { readonly item: { readonly id: string } }): Promise<void> {
      const [told] = await nodes.items(event.service.local, NS.avatarMetadata, { most: 1 });
      if (told?.payload && infosOf(told.payload).some(({ attrs: { id } }) => id === event.item.id))
        await changed(event);
    }

    return {
      features: { account: [NS.pepVcardConversion] },
      handlers: [
        provide(avatars, { most, picture: current, publish, remove }),
        on(nodeDefaults, (event) => {
          if (names.has(event.name)) event.config = { ...event.config, accessModel: 'open' };
        }),
        on(itemPublish, { phase: 'check' }, check),
        // (a picture takes the place of the one before it before anything tells of it)
        on(itemPublished, (event) => (event.node.name === NS.avatarData ? arrived(event) : changed(event))),
        on(itemsRetracted, (event) => (event.node.name === NS.avatarData ? undefined : changed(event))),
        on(nodePurged, changed),
        on(nodeConfigured, changed),
        on(nodeDeleted, changed),
        on(presenceOut, { phase: 'check' }, stamp),
      ],
      stop: cluster.subscribe(topic, (user) => background(renew(String(user)), 'telling of another picture')),
    };
  },
});

const metadata = (...infos: readonly Element[]): Element => el('metadata', NS.avatarMetadata, undefined, ...infos);

const infosOf = (payload: Element): Element[] => payload.getChildren('info');

/** XEP-0084 4.2.1: what is REQUIRED. */
function isInfo({ attrs: { bytes: size, id, type } }: Element): boolean {
  return id !== undefined && id !== '' && type !== undefined && /^\d{1,10}$/.test(size ?? '');
}

/** Who may fetch a picture: there are two nodes to be read. */
function audience(...configs: readonly (NodeConfig | undefined)[]): Shown['to'] {
  const models = configs.map((config) => config?.accessModel);
  if (models.every((model) => model === 'open')) return 'all';
  return models.every((model) => model === 'open' || model === 'presence') ? 'contacts' : 'nobody';
}

/** The hash that goes into presence; undefined where there is nothing to say. */
function toldIn({ hash, to }: Shown, isBroadcast: boolean): string | undefined {
  switch (to) {
    case 'all':
      return hash;
    case 'contacts':
      return isBroadcast ? hash : undefined;
    case 'nobody':
      // those who know an earlier one are to forget it
      return isBroadcast ? '' : undefined;
  }
}
