// How many items a node keeps, and for how long (XEP-0060 16.4.4).
import type { NodeConfig } from './config.ts';
import type { Policy } from './ports.ts';

/** Items that a node keeps, at most. */
export function mostOf({ maxItems }: NodeConfig, { mostItems }: Pick<Policy, 'mostItems'>): number {
  return maxItems === 'max' ? mostItems : Math.min(maxItems, mostItems);
}

/** For how long, in milliseconds; undefined: for good. */
export function ttlOf({ itemExpire }: NodeConfig): number | undefined {
  return itemExpire === 'max' ? undefined : itemExpire * 1000;
}
