import { describe, expect, it } from 'vitest';
import { collect, gate, type HookHandler, HookTable, notify } from '../../../src/core/hooks.ts';
import { StanzaError } from '../../../src/xmpp/errors.ts';

const order = gate<string[]>()('order', ['check', 'copy']);
const gather = collect<string[]>('gather');
const told = notify<string[]>('told');

function handler(
  hook: HookHandler['hook'],
  module: string,
  fn: (event: string[]) => unknown,
  rest: Partial<HookHandler> = {},
): HookHandler {
  return { hook, module, phase: undefined, after: [], before: [], fn: fn as HookHandler['fn'], ...rest };
}
const failures: string[] = [];
const table = (...handlers: HookHandler[]): HookTable =>
  new HookTable(handlers, (hook, module) => failures.push(`${hook} ${module}`));
const say = (word: string) => (event: string[]) => void event.push(word);

describe('a gate', () => {
  it('runs phase by phase, whatever the names of the modules', () => {
    const seen: string[] = [];
    const hooks = table(
      handler(order, 'a', say('copy'), { phase: 'copy' }),
      handler(order, 'z', say('check'), { phase: 'check' }),
    );
    expect(hooks.runGate(order, seen)).toBeUndefined();
    expect(seen).toEqual(['check', 'copy']);
  });

  it('runs by name inside a phase, unless a module asks for another order', () => {
    const seen: string[] = [];
    const hooks = table(
      handler(order, 'b', say('b'), { phase: 'check' }),
      handler(order, 'a', say('a'), { phase: 'check', after: ['c'] }),
      handler(order, 'c', say('c'), { phase: 'check' }),
      handler(order, 'd', say('d'), { phase: 'check', before: ['b'] }),
    );
    void hooks.runGate(order, seen);
    expect(seen).toEqual(['c', 'a', 'd', 'b']);
  });

  it('cannot be built when modules want to run before one another', () => {
    expect(() =>
      table(
        handler(order, 'a', say('a'), { phase: 'check', after: ['b'] }),
        handler(order, 'b', say('b'), { phase: 'check', after: ['a'] }),
      ),
    ).toThrow(/a, b each want to run before the other/);
  });

  it('ends at the first verdict, and makes no promise on the way', () => {
    const seen: string[] = [];
    const refusal = new StanzaError('forbidden');
    const hooks = table(
      handler(order, 'a', () => refusal, { phase: 'check' }),
      handler(order, 'b', say('b'), { phase: 'copy' }),
    );
    expect(hooks.runGate(order, seen)).toBe(refusal);
    expect(seen).toEqual([]);
  });

  it('goes on behind a promise in the same order', async () => {
    const seen: string[] = [];
    const hooks = table(
      handler(order, 'a', async (event) => void event.push('slow'), { phase: 'check' }),
      handler(order, 'b', say('next'), { phase: 'check' }),
      handler(order, 'c', async () => 'handled', { phase: 'copy' }),
      handler(order, 'd', say('never'), { phase: 'copy' }),
    );
    await expect(hooks.runGate(order, seen)).resolves.toBe('handled');
    expect(seen).toEqual(['slow', 'next']);
  });

  it('lets failures out: a check that fails must not let anything pass', async () => {
    const broken = table(
      handler(
        order,
        'a',
        () => {
          throw new Error('broken');
        },
        { phase: 'check' },
      ),
    );
    expect(() => broken.runGate(order, [])).toThrow('broken');
    const brokenLater = table(
      handler(
        order,
        'a',
        async () => {
          throw new Error('later');
        },
        { phase: 'check' },
      ),
    );
    await expect(brokenLater.runGate(order, [])).rejects.toThrow('later');
  });
});

describe('collect and notify', () => {
  it('run every handler, and report those that fail', async () => {
    failures.length = 0;
    const seen: string[] = [];
    const hooks = table(
      handler(gather, 'a', () => {
        throw new Error('now');
      }),
      handler(gather, 'b', async () => {
        throw new Error('later');
      }),
      handler(gather, 'c', say('c')),
      handler(told, 'd', async () => {
        throw new Error('later');
      }),
      handler(told, 'e', say('e')),
    );
    await hooks.runCollect(gather, seen);
    hooks.runNotify(told, seen);
    await Promise.resolve();
    expect(seen).toEqual(['c', 'e']);
    expect(failures).toEqual(['gather a', 'gather b', 'told d']);
  });

  it('collect waits for handlers that take their time', async () => {
    const seen: string[] = [];
    const hooks = table(
      handler(gather, 'a', async (event) => {
        await Promise.resolve();
        event.push('a');
      }),
      handler(gather, 'b', say('b')),
    );
    await hooks.runCollect(gather, seen);
    expect(seen).toEqual(['a', 'b']);
  });

  it('collect runs by name, unless a module asks for another order', async () => {
    const seen: string[] = [];
    const hooks = table(handler(gather, 'b', say('b')), handler(gather, 'a', say('a'), { after: ['b'] }));
    await hooks.runCollect(gather, seen);
    expect(seen).toEqual(['b', 'a']);
  });

  it('know whether anybody listens', () => {
    const hooks = table(handler(told, 'a', say('a')));
    expect([hooks.has(told), hooks.has(gather)]).toEqual([true, false]);
  });
});
