// XEP-0494 on several nodes: clients that did not come back are forgotten by one of them for all.
import { afterEach, expect, test, vi } from 'vitest';
import { Clients } from '../../src/auth/clients.ts';
import { NodeGroup } from '../kit/node-group.ts';

const domain = 'verona.test';
const PACE = 6 * 60 * 60_000;
let group: NodeGroup | undefined;
afterEach(async () => {
  await group?.stop();
  vi.restoreAllMocks();
});

test('old clients are looked for once, and by another node when the one that did so is gone', async () => {
  const prune = vi.spyOn(Clients.prototype, 'prune');
  group = await NodeGroup.start({ hosts: { [domain]: {} } });
  await group.nodes[0]!.server.server.accounts.create(`romeo@${domain}`, 'secret');
  await group.clock.advance(PACE);
  await group.settle();
  expect(prune).toHaveBeenCalledTimes(1);
  // (whichever it was)
  await group.join();
  await group.leave(group.nodes[0]!);
  await group.leave(group.nodes[0]!);
  await group.clock.advance(PACE);
  await group.settle();
  expect(prune).toHaveBeenCalledTimes(2);
});
