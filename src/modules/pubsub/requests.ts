// The requests that a service answers (XEP-0060 5.6, 5.7, 6, 7, 8): which element asks for what, and which node it is about.
import type { MaybePromise } from '../../base/maybe.ts';
import type { Element } from '../../xml/element.ts';
import { StanzaError } from '../../xmpp/errors.ts';
import { NS } from '../../xmpp/ns.ts';
import { answerAffiliates, changeAffiliates } from './affiliates.ts';
import { Asked } from './asked.ts';
import { answerConfiguration, answerDefaults, configureAsAsked } from './configure.ts';
import { createAsAsked } from './create.ts';
import { deleteAsAsked } from './delete.ts';
import { forbidden, pubsubError, unsupported } from './errors.ts';
import { answerItems } from './items.ts';
import { answerAffiliations, answerSubscriptions } from './mine.ts';
import { answerDefaultOptions, answerOptions, setOptions } from './options.ts';
import { publishAsAsked } from './publish.ts';
import { purgeAsAsked, retractAsAsked } from './retract.ts';
import type { Service, Shelf } from './shelf.ts';
import { subscribeAsAsked, unsubscribeAsAsked } from './subscribe.ts';
import { answerSubscribers, changeSubscribers } from './subscribers.ts';

type Answer = MaybePromise<Element | undefined>;
/** `action` is the child of `<pubsub/>` that says what is asked for. */
type OfNode = (shelf: Shelf, name: string, asked: Asked, action: Element) => Answer;
type OfService = (service: Service, asked: Asked, action: Element) => Answer;

/** What is asked of one node. */
const ofNodes: ReadonlyMap<string, OfNode> = new Map<string, OfNode>([
  [key('get', NS.pubsub, 'items'), answerItems],
  [key('get', NS.pubsub, 'options'), answerOptions],
  [key('set', NS.pubsub, 'create'), createAsAsked],
  [key('set', NS.pubsub, 'publish'), publishAsAsked],
  [key('set', NS.pubsub, 'retract'), retractAsAsked],
  [key('set', NS.pubsub, 'subscribe'), subscribeAsAsked],
  [key('set', NS.pubsub, 'unsubscribe'), unsubscribeAsAsked],
  [key('set', NS.pubsub, 'options'), setOptions],
  [key('get', NS.pubsubOwner, 'configure'), answerConfiguration],
  [key('get', NS.pubsubOwner, 'subscriptions'), answerSubscribers],
  [key('get', NS.pubsubOwner, 'affiliations'), answerAffiliates],
  [key('set', NS.pubsubOwner, 'configure'), configureAsAsked],
  [key('set', NS.pubsubOwner, 'delete'), deleteAsAsked],
  [key('set', NS.pubsubOwner, 'purge'), purgeAsAsked],
  [key('set', NS.pubsubOwner, 'subscriptions'), changeSubscribers],
  [key('set', NS.pubsubOwner, 'affiliations'), changeAffiliates],
]);

/** What wakes no node. */
const ofServices: ReadonlyMap<string, OfService> = new Map<string, OfService>([
  [key('get', NS.pubsub, 'subscriptions'), answerSubscriptions],
  [key('get', NS.pubsub, 'affiliations'), answerAffiliations],
  [key('get', NS.pubsub, 'default'), answerDefaultOptions],
  [key('get', NS.pubsubOwner, 'default'), answerDefaults],
]);

function key(type: string, ns: string | null, name: string): string {
  return `${type} ${ns} ${name}`;
}

/** A request that was read: what is to be called, and with what. */
type Reading =
  | { readonly of: 'node'; readonly name: string; readonly call: OfNode; readonly action: Element }
  | { readonly of: 'service'; readonly call: OfService; readonly action: Element };

/** @throws StanzaError `bad-request` for what asks for nothing, `nodeid-required`, `feature-not-implemented` for what nobody answers */
function read({ type, payload }: Asked): Reading {
  const children = payload.elements().filter(({ ns }) => ns === payload.ns);
  for (const action of children) {
    const place = key(type, action.ns, action.name);
    const ofService = ofServices.get(place);
    if (ofService !== undefined) return { of: 'service', call: ofService, action };
    const call = ofNodes.get(place);
    // `<options/>` and others come along with what they belong to
    if (call === undefined || (action.name === 'options' && children.length > 1)) continue;
    const { node: name } = action.attrs;
    if (name === undefined || name === '') throw pubsubError('nodeid-required');
    return { of: 'node', name, call, action };
  }
  if (children.some(({ name }) => name === 'collection' || name === 'associate')) throw unsupported('collections');
  throw children.length === 0 ? new StanzaError('bad-request') : new StanzaError('feature-not-implemented');
}

/**
 * The node that a request is about; undefined where it is about the service as a whole.
 * @throws StanzaError where it is no request that can be answered
 */
export function nodeNamed(asked: Asked): string | undefined {
  const reading = read(asked);
  return reading.of === 'node' ? reading.name : undefined;
}

/** 8.1.1: a request to make a node without a name, with the name that it is to have; every other one as it is. */
export function withInstantName(asked: Asked, newId: () => string): Asked {
  const { from, type, payload } = asked;
  const create = type === 'set' && payload.ns === NS.pubsub ? payload.getChild('create') : undefined;
  if (create === undefined || (create.attrs.node ?? '') !== '') return asked;
  const named = create.with({ node: newId() });
  const children = payload.elements().map((child) => (child === create ? named : child));
  return new Asked(from, type, payload.without(() => true).append(...children));
}

/** XEP-0465 4: what nobody does at a node that the service makes. (Publishing is looked at where that is done.) */
const ofOwners: ReadonlySet<OfNode> = new Set<OfNode>([createAsAsked, retractAsAsked, purgeAsAsked, deleteAsAsked]);

/** Answers a request about one node. @throws StanzaError what it is refused with */
export function answerOfNode(shelf: Shelf, asked: Asked): Answer {
  const reading = read(asked);
  if (reading.of === 'node' && ofOwners.has(reading.call) && shelf.companionOf(reading.name)?.made !== undefined) {
    throw forbidden('the service alone looks after this node');
  }
  return reading.of === 'node'
    ? reading.call(shelf, reading.name, asked, reading.action)
    : reading.call(shelf, asked, reading.action);
}

/** Answers a request that is about no node. @throws StanzaError what it is refused with */
export function answerOfService(service: Service, asked: Asked): Answer {
  const reading = read(asked);
  if (reading.of === 'node') throw new Error('a request about a node was asked of the service');
  return reading.call(service, asked, reading.action);
}
