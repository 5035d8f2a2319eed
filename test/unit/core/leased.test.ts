import { expect, test } from 'vitest';
import type { Lease } from '../../../src/cluster/cluster.ts';
import { gate } from '../../../src/core/hooks.ts';
import { confirm, hooksUnder, LeasedWrites } from '../../../src/core/leased.ts';
import { StanzaError } from '../../../src/xmpp/errors.ts';

/** A lease that is over, and is this node's again, or not, when that is asked. */
function overdue(isOurs: boolean): Lease {
  const lease = {
    key: 'k',
    token: 1,
    isAfterDeath: false,
    isValid: false,
    confirm: async () => {
      lease.isValid = isOurs;
      return isOurs;
    },
    release: async () => {},
  };
  return lease;
}
const gone = expect.objectContaining({ condition: 'remote-server-timeout' });

test('a lease that is over is confirmed before anything goes on, and what has gone elsewhere is refused as for now', async () => {
  const ours = overdue(true);
  await confirm(ours);
  expect(ours.isValid).toBe(true);
  await expect(confirm(overdue(false))).rejects.toEqual(gone);
  await expect(confirm(overdue(false))).rejects.toBeInstanceOf(StanzaError);
});

test('what is written first is begun first, nothing is written for others, and it is known when all is done', async () => {
  const begun: string[] = [];
  const writes = new LeasedWrites({ ...overdue(true), isValid: true });
  const write = (what: string) => writes.run(async () => void begun.push(what));
  const both = [write('a'), write('b')];
  expect(begun).toEqual(['a', 'b']);
  await writes.settled();
  await Promise.all(both);
  await expect(new LeasedWrites(overdue(false)).run(async () => void begun.push('c'))).rejects.toEqual(gone);
  expect(begun).toEqual(['a', 'b']);
});

test('hooks that wait for nothing are believed; after those that wait the lease is looked at', async () => {
  const hook = gate<number>()('test-leased', ['check']);
  const hooks = (verdict: undefined | Promise<undefined>, isOurs: boolean) =>
    hooksUnder({ gate: () => verdict, collect: () => verdict, notify: () => {} }, overdue(isOurs));
  expect(hooks(undefined, false).gate(hook, 1)).toBeUndefined();
  await expect(hooks(Promise.resolve(undefined), true).gate(hook, 1)).resolves.toBeUndefined();
  await expect(hooks(Promise.resolve(undefined), false).gate(hook, 1)).rejects.toEqual(gone);
});
