import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  inbound,
  noSubscription,
  outbound,
  type Subscription,
  type SubscriptionType,
} from '../../../../src/modules/roster/subscription.ts';

// RFC 6121 A.1: the nine states
const states = {
  none: { ...noSubscription },
  'none + out': { ...noSubscription, out: true },
  'none + in': { ...noSubscription, in: true },
  'none + out + in': { ...noSubscription, out: true, in: true },
  to: { ...noSubscription, to: true },
  'to + in': { ...noSubscription, to: true, in: true },
  from: { ...noSubscription, from: true },
  'from + out': { ...noSubscription, from: true, out: true },
  both: { ...noSubscription, to: true, from: true },
} as const satisfies Record<string, Subscription>;
type Name = keyof typeof states;

function nameOf(state: Subscription): string {
  const found = Object.entries(states).find(([, one]) => JSON.stringify(one) === JSON.stringify(state));
  return found?.[0] ?? JSON.stringify(state);
}

// [state before, passed on, state after]; `approved` where a pre-approval is noted instead (3.4.2)
type Row = readonly [before: Name, pass: boolean, after: Name | 'approved'];

const outboundTables: Readonly<Record<SubscriptionType, readonly Row[]>> = {
  // A.2.1
  subscribe: [
    ['none', true, 'none + out'],
    ['none + out', true, 'none + out'],
    ['none + in', true, 'none + out + in'],
    ['none + out + in', true, 'none + out + in'],
    ['to', true, 'to'],
    ['to + in', true, 'to + in'],
    ['from', true, 'from + out'],
    ['from + out', true, 'from + out'],
    ['both', true, 'both'],
  ],
  // A.2.2
  unsubscribe: [
    ['none', true, 'none'],
    ['none + out', true, 'none'],
    ['none + in', true, 'none + in'],
    ['none + out + in', true, 'none + in'],
    ['to', true, 'none'],
    ['to + in', true, 'none + in'],
    ['from', true, 'from'],
    ['from + out', true, 'from'],
    ['both', true, 'from'],
  ],
  // A.2.3
  subscribed: [
    ['none', false, 'approved'],
    ['none + out', false, 'approved'],
    ['none + in', true, 'from'],
    ['none + out + in', true, 'from + out'],
    ['to', false, 'approved'],
    ['to + in', true, 'both'],
    ['from', false, 'from'],
    ['from + out', false, 'from + out'],
    ['both', false, 'both'],
  ],
  // A.2.4
  unsubscribed: [
    ['none', false, 'none'],
    ['none + out', false, 'none + out'],
    ['none + in', true, 'none'],
    ['none + out + in', true, 'none + out'],
    ['to', false, 'to'],
    ['to + in', true, 'to'],
    ['from', true, 'none'],
    ['from + out', true, 'none + out'],
    ['both', true, 'to'],
  ],
};

const inboundTables: Readonly<Record<SubscriptionType, readonly Row[]>> = {
  // A.3.1
  subscribe: [
    ['none', true, 'none + in'],
    ['none + out', true, 'none + out + in'],
    ['none + in', false, 'none + in'],
    ['none + out + in', false, 'none + out + in'],
    ['to', true, 'to + in'],
    ['to + in', false, 'to + in'],
    ['from', false, 'from'],
    ['from + out', false, 'from + out'],
    ['both', false, 'both'],
  ],
  // A.3.2
  unsubscribe: [
    ['none', false, 'none'],
    ['none + out', false, 'none + out'],
    ['none + in', true, 'none'],
    ['none + out + in', true, 'none + out'],
    ['to', false, 'to'],
    ['to + in', true, 'to'],
    ['from', true, 'none'],
    ['from + out', true, 'none + out'],
    ['both', true, 'to'],
  ],
  // A.3.3
  subscribed: [
    ['none', false, 'none'],
    ['none + out', true, 'to'],
    ['none + in', false, 'none + in'],
    ['none + out + in', true, 'to + in'],
    ['to', false, 'to'],
    ['to + in', false, 'to + in'],
    ['from', false, 'from'],
    ['from + out', true, 'both'],
    ['both', false, 'both'],
  ],
  // A.3.4
  unsubscribed: [
    ['none', false, 'none'],
    ['none + out', true, 'none'],
    ['none + in', false, 'none + in'],
    ['none + out + in', true, 'none + in'],
    ['to', true, 'none'],
    ['to + in', true, 'none + in'],
    ['from', false, 'from'],
    ['from + out', true, 'from'],
    ['both', true, 'from'],
  ],
};

const types = Object.keys(outboundTables) as SubscriptionType[];

describe.each(types)('outbound %s', (type) => {
  test.each(outboundTables[type])('from "%s": routed is %s, then "%s" (RFC 6121 A.2)', (before, pass, after) => {
    const step = outbound(states[before], type);
    expect(step.pass).toBe(pass);
    expect(step.approve).toBe(false);
    if (after === 'approved') expect(step.state).toEqual({ ...states[before], approved: true });
    else expect(nameOf(step.state)).toBe(after);
  });
});

describe.each(types)('inbound %s', (type) => {
  test.each(inboundTables[type])('from "%s": delivered is %s, then "%s" (RFC 6121 A.3)', (before, pass, after) => {
    const step = inbound(states[before], type);
    expect(step.pass).toBe(pass);
    expect(nameOf(step.state)).toBe(after);
    // 3.1.3: who is subscribed already is told so by the server
    expect(step.approve).toBe(type === 'subscribe' && states[before].from);
  });
});

describe('approval in advance (RFC 6121 3.4)', () => {
  test.each(['none', 'none + out', 'to'] as const)('answers a request in state "%s" without asking', (name) => {
    const approved = outbound(states[name], 'subscribed').state;
    const step = inbound(approved, 'subscribe');
    expect(step).toEqual({ state: { ...states[name], from: true }, pass: false, approve: true });
  });

  test('is taken back without telling anybody (3.2.2)', () => {
    const approved = outbound(states.to, 'subscribed').state;
    expect(outbound(approved, 'unsubscribed')).toEqual({ state: states.to, pass: false, approve: false });
  });
});

test('whatever two servers do to one another, their views agree once all is delivered', () => {
  const acts = fc.array(fc.tuple(fc.boolean(), fc.constantFrom(...types)), { maxLength: 30 });
  fc.assert(
    fc.property(acts, (list) => {
      const view = [noSubscription, noSubscription];
      const receive = (at: number, type: SubscriptionType): void => {
        const step = inbound(view[at]!, type);
        view[at] = step.state;
        if (step.approve) receive(1 - at, 'subscribed');
      };
      for (const [first, type] of list) {
        const at = first ? 0 : 1;
        const step = outbound(view[at]!, type);
        view[at] = step.state;
        if (step.pass) receive(1 - at, type);
      }
      const [a, b] = view as [Subscription, Subscription];
      expect([a.to, a.from, a.out, a.in]).toEqual([b.from, b.to, b.in, b.out]);
    }),
  );
});
