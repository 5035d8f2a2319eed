// How fast people may publish, and how much they may keep: at their own nodes (XEP-0163), and at those they have made at a host of nodes. Kept on
// the node of the cluster that owns the nodes.
import type { Clock } from '../../base/clock.ts';
import { LruCache } from '../../base/lru.ts';
import type { MaybePromise } from '../../base/maybe.ts';
import { TokenBucket } from '../../base/token-bucket.ts';
import { flatten } from '../../xml/flatten.ts';
import { StanzaError } from '../../xmpp/errors.ts';
import type { ItemPublish } from './hooks.ts';

export interface Quota {
  /** Of all payloads that somebody keeps, in bytes. */
  readonly bytes: number;
  /** Ten minutes' worth may come at once. */
  readonly perMinute: number;
}

/** What somebody keeps. */
interface Keeper {
  /** As the store has told last, and what was published since. */
  bytes: number;
  /** When it has told, in milliseconds since 1970. */
  readonly told: number;
}

export interface LimitsParts {
  readonly quota: Quota;
  readonly clock: Clock;
  /** What a person, a bare JID, keeps now, in bytes. */
  bytesOf(person: string): Promise<number>;
}

const REMEMBERED = 10_000;
/** For so long the store is taken at its word, in milliseconds: what is replaced or removed makes room only then, or when there is none. */
const BELIEVED_FOR = 5 * 60_000;

export class Limits {
  private readonly parts: LimitsParts;
  private readonly publishers = new LruCache<string, TokenBucket>(REMEMBERED);
  private readonly keepers = new LruCache<string, Keeper>(REMEMBERED);

  constructor(parts: LimitsParts) {
    this.parts = parts;
  }

  /**
   * Whoever has made the node keeps what is there, whoever publishes it.
   * @returns why something is not to be published; undefined where it may be
   */
  publish({ publisher, payload, node }: ItemPublish): MaybePromise<StanzaError | undefined> {
    const { quota, clock } = this.parts;
    // what the server does in an account's name is its own affair
    if (!publisher.isBare && !this.bucketOf(publisher.bare).tryTake(1, clock.now())) {
      return new StanzaError('resource-constraint', 'so much is not published at once', { type: 'wait' });
    }
    if (!node.config.isPersistent || payload === undefined) return undefined;
    const size = Buffer.byteLength(payload.toXml());
    const known = this.keepers.get(node.creator);
    if (known !== undefined && known.told + BELIEVED_FOR > clock.now() && known.bytes + size <= quota.bytes) {
      known.bytes += size;
      return undefined;
    }
    return this.weigh(node.creator, size);
  }

  private async weigh(person: string, size: number): Promise<StanzaError | undefined> {
    const { quota, clock } = this.parts;
    const keeper: Keeper = { bytes: await this.parts.bytesOf(person), told: clock.now() };
    this.keepers.set(person, keeper);
    if (keeper.bytes + size > quota.bytes) {
      return new StanzaError('policy-violation', `nobody keeps more than ${quota.bytes} bytes`, { type: 'cancel' });
    }
    keeper.bytes += size;
    return undefined;
  }

  private bucketOf(person: string): TokenBucket {
    let bucket = this.publishers.get(person);
    if (bucket === undefined) {
      const { perMinute } = this.parts.quota;
      bucket = new TokenBucket({ rate: perMinute / 60, burst: perMinute * 10 }, this.parts.clock.now());
      this.publishers.set(flatten(person), bucket);
    }
    return bucket;
  }
}
