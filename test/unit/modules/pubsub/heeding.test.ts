import { expect, test } from 'vitest';
import { plainConfig } from '../../../../src/modules/pubsub/config.ts';
import { HeedingRows } from '../../../../src/modules/pubsub/heeding.ts';
import type { EntityRow } from '../../../../src/modules/pubsub/rows.ts';
import { TestShelf } from '../../../kit/pubsub-shelf.ts';

const lease = { key: '', token: 1, isAfterDeath: false, isValid: true, confirm: async () => true, release: () => {} };

async function rowsThatCount(plain = plainConfig) {
  const { stores } = await TestShelf.open();
  let begun = 0;
  const rows = new HeedingRows(
    stores,
    'pubsub',
    lease,
    async () => {
      begun++;
      // before anything is written
      expect(await stores.nodes.get('pubsub', 'n')).toBeUndefined();
    },
    plain,
  );
  return { rows, stores, begun: () => begun };
}

const node = (config: object) => ({ config, creator: 'a@b.test', at: 0 });
const subscription = (options: object): EntityRow => ({
  subscriptions: [{ jid: 'a@b.test', subid: '1', state: 'subscribed', options }],
});

test.each([
  [{}, false],
  [{ sendLast: 'never' }, false],
  [{ sendLast: 'on_sub_and_presence' }, true],
  [{ isTemporary: true }, true],
])('a node %j heeds who is online: %s', async (config, heeds) => {
  const { rows, stores, begun } = await rowsThatCount();
  await rows.saveNode('n', node(config));
  expect(begun() > 0).toBe(heeds);
  expect(await stores.nodes.get('pubsub', 'n')).toEqual(node(config));
  await rows.saveNode('n', undefined);
  expect(await stores.nodes.get('pubsub', 'n')).toBeUndefined();
});

test('a node does that says nothing of it, where such nodes do', async () => {
  const { rows, begun } = await rowsThatCount({ ...plainConfig, sendLast: 'on_sub_and_presence' });
  await rows.saveNode('n', node({}));
  expect(begun()).toBe(1);
});

test.each([
  [{}, false],
  [{ deliver: false }, false],
  [{ expire: 'presence' }, true],
])('a subscription %j does: %s', async (options, heeds) => {
  const { rows, stores, begun } = await rowsThatCount();
  await rows.saveEntities(
    'n',
    new Map([
      ['a@b.test', subscription(options)],
      ['c@d.test', undefined],
    ]),
  );
  expect(begun() > 0).toBe(heeds);
  expect(await stores.entities.get('pubsub', 'n', 'a@b.test')).toEqual(subscription(options));
});
