// What waits to be told while something is wrong.
import { expect, test } from 'vitest';
import { Outlet, type OutletParts } from '../../../../src/modules/push/outlet.ts';
import type { Registration } from '../../../../src/modules/push/registration.ts';
import type { News } from '../../../../src/modules/push/worth.ts';
import { StorageUnavailable } from '../../../../src/storage/errors.ts';
import { parseElement } from '../../../../src/xml/document.ts';
import type { Iq } from '../../../../src/xmpp/stanza.ts';
import { FakeClock } from '../../../kit/clock.ts';

const registration: Registration = { id: 'r', jid: 'push.verona.test', resource: 'phone', at: 0 };
const news = (kind: News['kind'], key: string): News => ({ kind, from: 'juliet@verona.test', key });

function outletWith(parts: Partial<OutletParts>): { outlet: Outlet; clock: FakeClock; failures: unknown[] } {
  const clock = new FakeClock();
  const failures: unknown[] = [];
  const outlet = new Outlet({
    waiting: { get: () => undefined, set: () => {}, all: () => new Map() },
    clock,
    signal: new AbortController().signal,
    interval: 2000,
    rate: { rate: 100, burst: 100 },
    maxErrors: 3,
    self: () => 'n1',
    find: () => registration,
    summaryOf: async () => ({ messages: 1, requests: 0 }),
    publish: async () => ({ type: 'result' }) as Iq,
    tell: () => {},
    fails: async () => {},
    remove: async () => {},
    background: (work) => void work.catch((error: unknown) => failures.push(error)),
    ...parts,
  });
  return { outlet, clock, failures };
}

test('while the database is away it is asked again after a while, and what waits is told when it is back', async () => {
  let isAway = true;
  const told: string[] = [];
  const { outlet, clock, failures } = outletWith({
    find: () => (isAway ? Promise.reject(new StorageUnavailable('away')) : registration),
    publish: async (_, { key }) => {
      told.push(key);
      return { type: 'result' } as Iq;
    },
  });
  await outlet.push('romeo', 'r', news('chat', 'm1'), true);
  await clock.advance(0);
  expect(failures).toHaveLength(1);
  await clock.advance(60_000);
  expect(failures.length).toBeGreaterThan(1);
  expect(failures.length).toBeLessThan(20);
  isAway = false;
  await clock.advance(10_000);
  expect(told).toEqual(['m1']);
});

test('a call that waits behind another notification is not silenced by what comes after it', async () => {
  const told: string[] = [];
  let answer = (_: Iq): void => {};
  const { outlet, clock } = outletWith({
    publish: (_, { key }) => {
      told.push(key);
      return new Promise((resolve) => {
        answer = resolve;
      });
    },
  });
  await outlet.push('romeo', 'r', news('chat', 'm1'), true);
  await clock.advance(0);
  await outlet.push('romeo', 'r', news('call', 'c1'), true);
  await outlet.push('romeo', 'r', news('chat', 'm2'), true);
  expect(told).toEqual(['m1']);
  answer({ type: 'result' } as Iq);
  await clock.advance(0);
  expect(told).toEqual(['m1', 'c1']);
});

test('a call that could not be told in time rings no phone later', async () => {
  const told: News[] = [];
  const { outlet, clock } = outletWith({
    publish: async (_, one) => {
      told.push(one);
      const type = told.length === 1 ? 'error' : 'result';
      return {
        type,
        el: parseElement(
          "<iq><error type='wait'><remote-server-timeout xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>",
        ),
      } as unknown as Iq;
    },
  });
  await outlet.push('romeo', 'r', { ...news('call', 'c1'), sid: 's', media: ['audio'] }, true);
  await clock.advance(0);
  await clock.advance(61_000);
  expect(told).toEqual([expect.objectContaining({ kind: 'call', key: 'c1' }), news('chat', 'c1')]);
});
