// What is asked of a node of a host, on the node of the cluster that owns it: requests of people, and what the server has to tell it.
import { andThen, type MaybePromise } from '../../base/maybe.ts';
import { parseElement } from '../../xml/document.ts';
import { type Element, el } from '../../xml/element.ts';
import { Jid } from '../../xmpp/jid.ts';
import { NS } from '../../xmpp/ns.ts';
import { Answered, Asked } from './asked.ts';
import { decide, remind } from './authorize.ts';
import { type Brought, bring } from './bring.ts';
import { keepOwn } from './companions.ts';
import { describeNode, listItems } from './discovery.ts';
import { dismiss, forget, greet } from './presence.ts';
import { answerOfNode } from './requests.ts';
import type { Shelf } from './shelf.ts';

/** JSON, but for requests, which become it where they travel. Addresses are text. */
export type Errand =
  | { readonly is: 'request' | 'info' | 'items'; readonly asked: Asked }
  /** An owner's answer to a form (8.6): a message. */
  | { readonly is: 'decision'; readonly from: string; readonly xml: string }
  /** An owner wants to be asked again about what waits (8.7). */
  | { readonly is: 'reminder'; readonly from: string }
  /** What the service keeps at a node of its own: an item is there from now on, or is not any more. */
  | { readonly is: 'own'; readonly id: string; readonly xml?: string }
  /** What was at such a node elsewhere. */
  | { readonly is: 'bring'; readonly brought: Brought }
  /** A resource has become available, or is it no more; an account is gone (a bare JID). */
  | { readonly is: 'coming' | 'going' | 'removed'; readonly who: string };

/** What is asked of one node. */
export interface OfNode {
  readonly node: string;
  readonly errand: Errand;
}

/** Does what a node is asked; the answer to requests of service discovery is their `<query/>`. @throws StanzaError what it is refused with */
export function run(shelf: Shelf, name: string, errand: Errand): MaybePromise<Answered> {
  switch (errand.is) {
    case 'request':
      return andThen(answerOfNode(shelf, Asked.read(errand.asked)), (element) => new Answered(element));
    case 'info':
      return andThen(describeNode(shelf, name, Asked.read(errand.asked)), (children) => query(NS.discoInfo, children));
    case 'items':
      return andThen(listItems(shelf, name, Asked.read(errand.asked)), (children) => query(NS.discoItems, children));
    case 'decision':
      return andThen(decide(shelf, name, jid(errand.from), parseElement(errand.xml)), nothing);
    case 'reminder':
      return andThen(remind(shelf, name, jid(errand.from)), nothing);
    case 'own':
      return andThen(keepOwn(shelf, name, errand.id, errand.xml), nothing);
    case 'bring':
      return andThen(bring(shelf, name, errand.brought), (element) => new Answered(element));
    case 'coming':
      return andThen(greet(shelf, name, jid(errand.who)), nothing);
    case 'going':
      return andThen(dismiss(shelf, name, jid(errand.who)), nothing);
    case 'removed':
      return andThen(forget(shelf, name, errand.who), nothing);
  }
}

function query(ns: string, children: readonly Element[]): Answered {
  return new Answered(el('query', ns, undefined, ...children));
}

const nothing = (): Answered => new Answered(undefined);

function jid(text: string): Jid {
  const parsed = Jid.parse(text);
  if (parsed === undefined) throw new Error('an errand of nobody came from another node');
  return parsed;
}
