// What one account may keep at its nodes, and how fast it may publish. Kept on the node of the cluster that owns the nodes.
import type { Clock } from '../../base/clock.ts';
import { LruCache } from '../../base/lru.ts';
import { andThen, type MaybePromise } from '../../base/maybe.ts';
import { TokenBucket } from '../../base/token-bucket.ts';
import type { ItemsStore } from '../../storage/ports.ts';
import { StanzaError } from '../../xmpp/errors.ts';
import { pubsubError } from '../pubsub/errors.ts';
import type { ItemPublish } from '../pubsub/hooks.ts';

export interface Quota {
  readonly nodes: number;
  /** Of all payloads, in bytes. */
  readonly bytes: number;
  /** Ten minutes' worth may come at once. */
  readonly perMinute: number;
}

interface Account {
  readonly bucket: TokenBucket;
  /** As the store has told last, and what was published since. */
  bytes: number | undefined;
  /** When it has told, in milliseconds since 1970. */
  told: number;
}

export interface LimitsParts {
  readonly quota: Quota;
  readonly items: Pick<ItemsStore, 'usage'>;
  readonly clock: Clock;
  countNodes(user: string): MaybePromise<number>;
}

const REMEMBERED = 10_000;
/** For so long the store is taken at its word, in milliseconds: what is replaced or removed makes room only then, or when there is none. */
const BELIEVED_FOR = 5 * 60_000;

export class Limits {
  private readonly parts: LimitsParts;
  private readonly accounts = new LruCache<string, Account>(REMEMBERED);

  constructor(parts: LimitsParts) {
    this.parts = parts;
  }

  /** @returns why there is to be no other node; undefined where there may be one */
  another(user: string): MaybePromise<StanzaError | undefined> {
    const { countNodes, quota } = this.parts;
    return andThen(countNodes(user), (count) =>
      count >= quota.nodes ? pubsubError('max-nodes-exceeded', `${quota.nodes} nodes at most`) : undefined,
    );
  }

  /** @returns why something is not to be published; undefined where it may be */
  publish(user: string, { publisher, payload, node }: ItemPublish): MaybePromise<StanzaError | undefined> {
    const { quota, clock } = this.parts;
    const account = this.of(user);
    // what the server does in the account's name is its own affair
    if (!publisher.isBare && !account.bucket.tryTake(1, clock.now())) {
      return new StanzaError('resource-constraint', 'so much is not published at once', { type: 'wait' });
    }
    if (!node.config.isPersistent || payload === undefined) return undefined;
    const size = Buffer.byteLength(payload.toXml());
    const isFresh = account.told + BELIEVED_FOR > clock.now();
    if (isFresh && account.bytes !== undefined && account.bytes + size <= quota.bytes) {
      account.bytes += size;
      return undefined;
    }
    return this.weigh(user, account, size);
  }

  private async weigh(user: string, account: Account, size: number): Promise<StanzaError | undefined> {
    const { quota, items, clock } = this.parts;
    const { bytes } = await items.usage(user);
    account.told = clock.now();
    account.bytes = bytes;
    if (bytes + size > quota.bytes) {
      return new StanzaError('policy-violation', `an account keeps ${quota.bytes} bytes at most`, { type: 'cancel' });
    }
    account.bytes += size;
    return undefined;
  }

  private of(user: string): Account {
    let account = this.accounts.get(user);
    if (account === undefined) {
      const { perMinute } = this.parts.quota;
      const bucket = new TokenBucket({ rate: perMinute / 60, burst: perMinute * 10 }, this.parts.clock.now());
      account = { bucket, bytes: undefined, told: 0 };
      this.accounts.set(user, account);
    }
    return account;
  }
}
