// XEP-0472: Pubsub Social Feed, and XEP-0277: Microblogging, which is one of its profiles: posts in Atom (RFC 4287) at nodes that say by their type
// what they are, or that are called as blogs and comments on them are. What the two ask of a service: how such nodes are set up, what is published
// there, and where a post can be found.
//
// - 0472 5.1.1: nodes of the types that it makes are as it says; nodes that XEP-0277 has, too, may keep fewer items.
// - 0472 5.1.1, deliver_payloads SHOULD: blogs bring their posts, as in XEP-0277 2.4; clients of that ask for nothing else.
// - 0472 4.6.2, 0277 7 SHOULD: no text beside the post for clients without publish-subscribe (modules/pubsub: `include_body`).
// - 0277 2.4: the address of a post for those with XMPP is added; there is none for the web.
import { defineModule, on } from '../core/module.ts';
import { type Element, el } from '../xml/element.ts';
import { StanzaError } from '../xmpp/errors.ts';
import { NS } from '../xmpp/ns.ts';
import type { NodeConfig } from './pubsub/config.ts';
import { pubsubError } from './pubsub/errors.ts';
import { type ItemPublish, itemPublish, nodeConfiguring, nodeCreating, nodeDefaults } from './pubsub/hooks.ts';
import { nodeUri } from './pubsub/uri.ts';

/** 0472 5.1.1: what all social feeds are. */
const feed = { isPersistent: true, maxItems: 'max', notifiesRetract: true, sendLast: 'never' } as const;

interface Profile {
  /** What a node is that says no more than that it is of this type. */
  readonly config: Partial<NodeConfig>;
  /** Fewer items may be kept. */
  readonly mayForget?: boolean;
  /** Elements that a post has (and more than one of them where clients say it in several languages, or in XHTML besides). */
  readonly parts: readonly string[];
  /** The title of a feed and who writes it may be an item (0277 5). */
  readonly hasMetadata?: boolean;
  /** A post shows a picture. */
  readonly isGallery?: boolean;
}

/** RFC 4287 4.1.2. */
const whole = ['id', 'title', 'updated'];

const profiles: ReadonlyMap<string, Profile> = new Map<string, Profile>([
  [NS.socialFeed, { config: { ...feed, deliversPayloads: false }, parts: whole }],
  [NS.gallery, { config: { ...feed, deliversPayloads: false }, parts: whole, isGallery: true }],
  [NS.microblog, { config: feed, mayForget: true, parts: whole, hasMetadata: true }],
  // 0277 3.2: comments have no more than a title
  [
    NS.microblogComments,
    { config: { ...feed, accessModel: 'open' }, mayForget: true, parts: ['title'], hasMetadata: true },
  ],
]);

/** The type that a node has by its name (0277 2.1, 3.1). */
function typeByName(name: string): string | undefined {
  if (name === NS.microblog) return NS.microblog;
  return name.startsWith(`${NS.microblogComments}/`) ? NS.microblogComments : undefined;
}

export default defineModule({
  xeps: ['XEP-0277 0.6.5', 'XEP-0472 0.2.1'],
  summary: 'Blogs, comments, galleries and other feeds, as they have to be for everybody to read them',
  hosts: ['users', 'pubsub'],

  setup: () => {
    const features = [NS.socialFeed, NS.gallery, NS.microblog];
    return {
      features: { server: features, account: features },
      handlers: [
        on(nodeDefaults, (event) => {
          const type = event.type ?? typeByName(event.name);
          const profile = type === undefined ? undefined : profiles.get(type);
          if (profile !== undefined) event.config = { ...event.config, ...profile.config, type: type! };
        }),
        on(nodeCreating, { phase: 'check' }, ({ config }) => checkConfig(config)),
        on(nodeConfiguring, { phase: 'check' }, ({ config }) => checkConfig(config)),
        on(itemPublish, { phase: 'check' }, checkItem),
        on(itemPublish, { phase: 'change' }, addAddress),
      ],
    };
  },
});

/** 0472 5.1.1, 0277 4: the MUSTs. */
function checkConfig(config: NodeConfig): StanzaError | undefined {
  const profile = profiles.get(config.type);
  if (profile === undefined) return undefined;
  if (!config.notifiesRetract) return refused('"pubsub#notify_retract" is true at a social feed');
  if (!config.isPersistent) return refused('"pubsub#persist_items" is true at a social feed');
  if (!profile.mayForget && config.maxItems !== 'max') return refused('"pubsub#max_items" is "max" at a social feed');
  return undefined;
}

const refused = (text: string): StanzaError => new StanzaError('not-acceptable', text);

/** RFC 4287 4.1.2; 0472 4.2, 5.3; 0277 2.3, 5. */
function checkItem({ node, payload }: ItemPublish): StanzaError | undefined {
  const profile = profiles.get(node.config.type);
  if (profile === undefined) return undefined;
  const isMetadata = payload?.is('feed', NS.atom) === true && profile.hasMetadata === true;
  if (!isMetadata && !payload?.is('entry', NS.atom)) return pubsubError('invalid-payload', 'a post is an Atom entry');
  const missing = profile.parts.find((name) => payload.getChild(name) === undefined);
  if (missing !== undefined) return pubsubError('invalid-payload', `an Atom entry has <${missing}/>`);
  if (profile.isGallery && !linksOf(payload).some(isPicture)) {
    return pubsubError('invalid-payload', 'a post in a gallery has a picture');
  }
  return undefined;
}

const linksOf = (entry: Element): Element[] => entry.getChildren('link');

const isPicture = ({ attrs: { rel, type = '' } }: Element): boolean => rel === 'enclosure' && type.startsWith('image/');

/** 0277 2.4, 0472 4.3: "these things SHOULD be inserted at server side". RFC 4287 4.2.7.2: a link that says no `rel` is an alternate. */
function addAddress(event: ItemPublish): void {
  const { service, node, id, payload } = event;
  if (!profiles.has(node.config.type) || !payload?.is('entry', NS.atom)) return;
  const isAddress = ({ attrs: { rel = 'alternate', href = '' } }: Element): boolean =>
    rel === 'alternate' && href.startsWith('xmpp:');
  if (linksOf(payload).some(isAddress)) return;
  event.payload = payload.append(el('link', NS.atom, { rel: 'alternate', href: nodeUri(service, node.name, id) }));
}
