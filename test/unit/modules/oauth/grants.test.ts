// What is kept of the tokens of a client that comes for others again and again.
import { expect, test } from 'vitest';
import { type TokenRow, tokenStore } from '../../../../src/auth/tokens.ts';
import { type GrantRow, Grants, type TokenUse } from '../../../../src/modules/oauth/grants.ts';
import { createMemoryDriver } from '../../../../src/storage/memory.ts';
import type { MapStore } from '../../../../src/storage/ports.ts';
import { map } from '../../../../src/storage/specs.ts';
import { FakeClock } from '../../../kit/clock.ts';

const DAY = 86_400_000;

test('tokens that are over are forgotten while a client stays in', async () => {
  const clock = new FakeClock();
  const specs = { grants: map<GrantRow>(), tokens: tokenStore<TokenUse>() };
  const stores = await createMemoryDriver(clock).open('one.test', 'oauth', specs);
  const tokens = stores.tokens as MapStore<TokenRow<TokenUse>>;
  const grants = new Grants({
    grants: stores.grants as MapStore<GrantRow>,
    tokens,
    clock,
    domain: 'one.test',
    isCurrent: () => true,
    lifetime: DAY,
  });
  let issued = await grants.give('romeo', { client: 'c', name: 'C', scopes: ['xmpp'], epoch: 0 }, true);
  for (let day = 0; day < 100; day++) {
    await clock.advance(DAY);
    issued = await grants.refresh(issued.refresh!, 'c');
  }
  expect(await grants.find(issued.access)).toBeDefined();
  // one a day, for the thirty days in which it is noticed that somebody shows it again; and what is good now
  expect((await tokens.all('romeo')).size).toBeLessThan(35);
});
