// How a frozen thing gets from node to node: in parts, one after another, so that a large one does not keep others waiting.

import type { Clock } from '../../base/clock.ts';
import type { Logger } from '../../base/log.ts';
import { type Cluster, type NodeId, Unanswered } from '../../cluster/cluster.ts';
import type { Carrier, OwnerLimits, Travelling } from './context.ts';

interface Part {
  readonly id: number;
  readonly text: string;
}
interface Last extends Part {
  readonly kind: string;
  readonly key: string;
  readonly token: number;
}

interface Incoming {
  texts: string[];
  size: number;
  cancel(): void;
}

const methods = { part: 'owners.part', move: 'owners.move' } as const;
/** Parts whose rest does not come are dropped after so many milliseconds. */
const FORGET = 30_000;

export interface TravelParts {
  readonly cluster: Cluster;
  readonly clock: Clock;
  readonly log: Logger;
  readonly limits: OwnerLimits;
  /** A thing arrives; resolves to whether it lives here now. */
  readonly receive: (thing: Travelling, from: NodeId) => Promise<boolean>;
}

export class Travel implements Carrier {
  private readonly parts: TravelParts;
  private readonly incoming = new Map<string, Incoming>();
  private lastId = 0;

  constructor(parts: TravelParts) {
    this.parts = parts;
    const { cluster } = parts;
    cluster.answer(methods.part, (body, from) => this.part(body as Part, from));
    cluster.answer(methods.move, (body, from) => this.arrive(body as Last, from));
  }

  async carry(to: NodeId, { kind, key, token, handed }: Travelling): Promise<'taken' | 'refused' | 'unknown'> {
    const { cluster, limits, log } = this.parts;
    let text: string;
    try {
      text = handed === undefined ? '' : JSON.stringify(handed);
    } catch (err) {
      log.error({ err, key }, 'what it hands over is no JSON');
      return 'refused';
    }
    if (text.length > limits.handed) {
      log.warn({ key, size: text.length }, 'it is too large to move');
      return 'refused';
    }
    const id = ++this.lastId;
    let at = 0;
    try {
      for (; text.length - at > limits.part; at += limits.part) {
        const isRoom = await cluster.call(to, methods.part, {
          id,
          text: text.slice(at, at + limits.part),
        } satisfies Part);
        if (isRoom !== true) return 'refused';
      }
    } catch (err) {
      log.debug({ err, key, to }, 'it could not be taken to another node');
      return 'refused';
    }
    try {
      const last: Last = { id, kind, key, token, text: text.slice(at) };
      return (await cluster.call(to, methods.move, last)) === true ? 'taken' : 'refused';
    } catch (err) {
      log.debug({ err, key, to }, 'it could not be taken to another node');
      return err instanceof Unanswered ? 'refused' : 'unknown';
    }
  }

  private part({ id, text }: Part, from: NodeId): boolean {
    const { limits, clock } = this.parts;
    const name = `${from}/${id}`;
    let incoming = this.incoming.get(name);
    if (incoming === undefined) {
      incoming = { texts: [], size: 0, cancel: clock.after(FORGET, () => this.incoming.delete(name)) };
      this.incoming.set(name, incoming);
    }
    incoming.texts.push(text);
    incoming.size += text.length;
    const size = [...this.incoming.values()].reduce((sum, one) => sum + one.size, 0);
    if (size <= limits.handed) return true;
    incoming.cancel();
    this.incoming.delete(name);
    return false;
  }

  private async arrive({ id, kind, key, token, text }: Last, from: NodeId): Promise<boolean> {
    const name = `${from}/${id}`;
    const incoming = this.incoming.get(name);
    incoming?.cancel();
    this.incoming.delete(name);
    const whole = [...(incoming?.texts ?? []), text].join('');
    const handed: unknown = whole === '' ? undefined : JSON.parse(whole);
    return this.parts.receive({ kind, key, token, handed }, from);
  }
}
