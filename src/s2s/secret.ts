// The secret of dialback keys (XEP-0185): made once, at random, and kept with everything else, so that every node of the server knows it
// and any of them can answer for a key that another one gave out.
import { randomBytes } from 'node:crypto';
import type { Driver, KvStore } from '../storage/ports.ts';
import { kv } from '../storage/specs.ts';

const stores = { secrets: kv<string>() };

/** Reads the secret, or makes it. It belongs to the whole server: to no host. */
export async function openDialbackSecret(driver: Driver): Promise<string> {
  const { secrets } = (await driver.open('', 's2s', stores)) as { readonly secrets: KvStore<string> };
  const secret = await secrets.update('dialback', (old) => old ?? randomBytes(32).toString('hex'));
  return secret!;
}
