// What components want service discovery to tell of the namespaces that are delegated to them (XEP-0355 6.2), asked for when they
// connect and remembered on every node.
import type { Logger } from '../../base/log.ts';
import type { Cluster, NodeId } from '../../cluster/cluster.ts';
import type { Host } from '../../core/host.ts';
import type { Router } from '../../core/router.ts';
import { parseElement } from '../../xml/document.ts';
import { type Element, el } from '../../xml/element.ts';
import { caps2Hash, capsVer } from '../../xmpp/caps.ts';
import type { Jid } from '../../xmpp/jid.ts';
import { NS } from '../../xmpp/ns.ts';
import { type Iq, stanzaOf } from '../../xmpp/stanza.ts';

/** What stands in the place of what the server itself would tell. */
export interface Nested {
  /** Of these namespaces the server tells nothing of its own. */
  readonly namespaces: readonly string[];
  /** Identities, features and forms for the domain, and for accounts. */
  readonly server: readonly Element[];
  readonly account: readonly Element[];
}

/** What one component wants told, as XML. */
interface Told {
  readonly component: string;
  readonly server: readonly string[];
  readonly account: readonly string[];
}

interface Known {
  readonly node: NodeId;
  readonly server: readonly Element[];
  readonly account: readonly Element[];
}

export interface NestingParts {
  readonly host: Host;
  readonly router: Router;
  readonly cluster: Cluster;
  readonly background: (work: Promise<unknown>, what: string) => void;
  /** Ends the waiting for answers. */
  readonly signal: AbortSignal;
  readonly log: Logger;
}

export class Nesting {
  nested: Nested;
  private readonly parts: NestingParts;
  private readonly known = new Map<string, Known>();
  /** The questions to components that are under way, by domain: what an older one brings is of no interest any more. */
  private readonly asking = new Map<string, object>();
  private readonly topic: string;
  private readonly question: string;

  constructor(parts: NestingParts) {
    this.parts = parts;
    this.topic = `delegation ${parts.host.domain}`;
    this.question = `delegation? ${parts.host.domain}`;
    this.nested = this.combine();
  }

  /** Hears of components on other nodes; returns how to stop. */
  listen(): () => void {
    const { cluster } = this.parts;
    const stop = [
      cluster.subscribe(this.topic, (body, from) => this.take(body as Told, from)),
      cluster.subscribe(this.question, () => {
        for (const [component, { node, server, account }] of this.known) {
          if (node === cluster.self) this.publish(component, server, account);
        }
      }),
      cluster.onNode((node, up) => {
        if (!up) this.drop((known) => known.node === node);
      }),
    ];
    cluster.publish(this.question, null);
    return () => {
      for (const one of stop) one();
    };
  }

  /** Asks a component of this node, if anything is delegated to it. */
  ask(component: Jid): void {
    const given = this.parts.host.grants.get(component.domain)?.delegations ?? [];
    const namespaces = given.map(({ namespace }) => namespace).filter((ns) => !isSpecial(ns));
    if (namespaces.length === 0) return;
    const question = {};
    this.asking.set(component.domain, question);
    this.parts.background(this.askAll(component, namespaces, question), 'asking a component what it can do');
  }

  /** A component of this node is gone: what it can do nobody can, until it is back. */
  forget(component: Jid): void {
    this.asking.delete(component.domain);
    if (this.known.get(component.domain)?.node !== this.parts.cluster.self) return;
    this.publish(component.domain, [], []);
    this.drop((_known, domain) => domain === component.domain);
  }

  private async askAll(component: Jid, namespaces: readonly string[], question: object): Promise<void> {
    const [server, account] = await Promise.all(
      ['::', ':bare:'].map(async (separator) => {
        const answers = await Promise.all(
          namespaces.map((ns) => this.askFor(component, `${NS.delegation}${separator}${ns}`)),
        );
        return answers.flat();
      }),
    );
    // it has gone, or has come anew and is asked again; or these settings hold no more
    if (this.asking.get(component.domain) !== question || this.parts.signal.aborted) return;
    this.asking.delete(component.domain);
    this.parts.log.debug({ component: component.domain, features: server!.length }, 'a component told what it can do');
    this.publish(component.domain, server!, account!);
    this.keep(component.domain, { node: this.parts.cluster.self, server: server!, account: account! });
  }

  private async askFor(component: Jid, node: string): Promise<readonly Element[]> {
    const { host, router, signal, log } = this.parts;
    const attrs = { type: 'get', from: host.domain, to: component.full };
    const query = el('query', NS.discoInfo, { node });
    const make = (id: string): Iq => stanzaOf(el('iq', null, { ...attrs, id }, query), host.jid, component) as Iq;
    const { type, payload } = await router.request(host, make, { signal });
    if (type !== 'result' || payload?.is('query', NS.discoInfo) !== true) return [];
    const told = payload.elements().filter(isInfo);
    if (isHashable(told)) return told;
    // XEP-0115 5.4: what the server tells must have a hash
    log.warn({ component: component.domain, node }, 'what a component wants to be told is no proper disco#info');
    return [];
  }

  private publish(component: string, server: readonly Element[], account: readonly Element[]): void {
    const texts = (list: readonly Element[]): string[] => list.map((one) => one.toXml());
    const told: Told = { component, server: texts(server), account: texts(account) };
    this.parts.cluster.publish(this.topic, told);
  }

  private take({ component, server, account }: Told, node: NodeId): void {
    // it has gone from that node: perhaps to another, which has told of it already
    if (server.length === 0 && account.length === 0) {
      this.drop((known, domain) => domain === component && known.node === node);
      return;
    }
    // the end of a connection is no news where another node has the next one already
    const isEmpty = server.length === 0 && account.length === 0;
    if (isEmpty && (this.known.get(component)?.node ?? node) !== node) return;
    const elements = (list: readonly string[]): Element[] => list.map((text) => parseElement(text));
    this.keep(component, { node, server: elements(server), account: elements(account) });
  }

  private keep(component: string, known: Known): void {
    this.known.set(component, known);
    this.nested = this.combine();
  }

  private drop(isMeant: (known: Known, component: string) => boolean): void {
    for (const [component, known] of this.known) if (isMeant(known, component)) this.known.delete(component);
    this.nested = this.combine();
  }

  private combine(): Nested {
    const namespaces: string[] = [];
    const server: Element[] = [];
    const account: Element[] = [];
    for (const [domain, { delegations }] of this.parts.host.grants) {
      for (const { namespace } of delegations) if (!isSpecial(namespace)) namespaces.push(namespace);
      const known = this.known.get(domain);
      if (known === undefined) continue;
      server.push(...known.server);
      account.push(...known.account);
    }
    return { namespaces, server, account };
  }
}

function isSpecial(namespace: string): boolean {
  return namespace.startsWith(`${NS.delegation}:`);
}

function isInfo(element: Element): boolean {
  return element.is('identity', NS.discoInfo) || element.is('feature', NS.discoInfo) || element.is('x', NS.dataForms);
}

function isHashable(told: readonly Element[]): boolean {
  const query = el('query', NS.discoInfo, undefined, ...told);
  return capsVer(query) !== undefined && caps2Hash(query, 'sha-256') !== undefined;
}
