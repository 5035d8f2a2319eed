// What the server itself asks (IQs), and the replies. A reply may come to another node than the one that has asked: the id has that
// one's name, so it is brought there.
import { randomBytes } from 'node:crypto';
import type { Clock } from '../base/clock.ts';
import { isPromise } from '../base/maybe.ts';
import type { Cluster, NodeId } from '../cluster/cluster.ts';
import { StanzaError } from '../xmpp/errors.ts';
import type { Jid } from '../xmpp/jid.ts';
import { errorReply, type Iq, type Stanza, stanzaOf } from '../xmpp/stanza.ts';

interface Pending {
  readonly from: Jid;
  readonly done: (reply: Iq) => void;
  readonly fail: () => void;
  readonly cancel: () => void;
}

export class Questions {
  private readonly cluster: Cluster;
  private readonly clock: Clock;
  private readonly pending = new Map<string, Pending>();

  constructor(cluster: Cluster, clock: Clock) {
    this.cluster = cluster;
    this.clock = clock;
  }

  /**
   * Waits for the reply to a question.
   * @param send has it sent
   * @param timeout in milliseconds
   * @returns the result or the error; an error of type `wait`, `remote-server-timeout`, when nothing comes
   */
  ask(make: (id: string) => Iq, send: (iq: Iq) => void, timeout: number, signal?: AbortSignal): Promise<Iq> {
    const id = `${this.cluster.self}:${randomBytes(9).toString('base64url')}`;
    const iq = make(id);
    return new Promise((resolve) => {
      const fail = (): void => {
        this.pending.get(id)?.cancel();
        this.pending.delete(id);
        const error = errorReply(iq.el, iq.to.full, iq.from.full, new StanzaError('remote-server-timeout'));
        resolve(stanzaOf(error!, iq.to, iq.from) as Iq);
      };
      const stopWaiting = this.clock.after(timeout, fail);
      signal?.addEventListener('abort', fail);
      const cancel = (): void => {
        stopWaiting();
        signal?.removeEventListener('abort', fail);
      };
      this.pending.set(id, { from: iq.to, done: resolve, fail, cancel });
      send(iq);
    });
  }

  /** Nobody answers for a domain any more: what it was asked has failed. */
  giveUp(domain: string): void {
    for (const { from, fail } of this.pending.values()) if (from.domain === domain) fail();
  }

  /** Takes a reply, if it is one: to a question of this node's, or another's. */
  take(stanza: Stanza): boolean {
    if (stanza.kind !== 'iq' || stanza.type === 'get' || stanza.type === 'set') return false;
    const pending = this.pending.get(stanza.id);
    if (pending === undefined) return this.bringHome(stanza);
    if (pending.from.full !== stanza.from.full) return false;
    this.pending.delete(stanza.id);
    pending.cancel();
    pending.done(stanza);
    return true;
  }

  private bringHome({ el: element, id, from, to }: Iq): boolean {
    const { nodes, self } = this.cluster;
    if (nodes.size === 1) return false;
    const node = id.slice(0, Math.max(0, id.lastIndexOf(':'))) as NodeId;
    if (node === self || !nodes.has(node)) return false;
    const sent = this.cluster.send(node, {
      kind: 'stanza',
      xml: element.with({ from: from.full, to: to.full }).toXml(),
    });
    // who waits for it is gone, or waits no longer than it said
    if (isPromise(sent)) sent.catch(() => {});
    return true;
  }
}
