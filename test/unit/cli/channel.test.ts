// Questions and answers between the primary and a node.
import { expect, test } from 'vitest';
import { type Answers, Channel, type Peer } from '../../../src/cli/channel.ts';
import { CommandError } from '../../../src/core/commands.ts';

/** Two ends; what passes is written as JSON and read again. */
function createPair(one: Answers, two: Answers): readonly [Channel, Channel] {
  const takers: ((message: unknown) => void)[] = [];
  const peer = (own: number): Peer => ({
    send: (message) => {
      const json = JSON.stringify(message);
      setImmediate(() => takers[1 - own]?.(JSON.parse(json)));
    },
    onMessage: (fn) => {
      takers[own] = fn;
    },
  });
  return [new Channel(peer(0), one), new Channel(peer(1), two)];
}

test('both ends ask and answer, at the same time too', async () => {
  const double = { double: (n: number) => n * 2 };
  const [one, two] = createPair({ triple: async (n: number) => n * 3 }, double);
  expect(await Promise.all([one.ask('double', 4), two.ask('triple', 5), one.ask('double', 6)])).toEqual([8, 15, 12]);
});

test('a refusal arrives as it was said', async () => {
  const refuse = {
    refuse: () => {
      throw new CommandError('not-found', 'nobody there');
    },
    break: async () => {
      throw new TypeError('a fault');
    },
  };
  const [one] = createPair({}, refuse);
  await expect(one.ask('refuse')).rejects.toMatchObject({ code: 'not-found', message: 'nobody there' });
  await expect(one.ask('break')).rejects.toMatchObject({ code: 'failed', message: 'a fault' });
  await expect(one.ask('what')).rejects.toMatchObject({ code: 'failed', message: 'nobody answers "what"' });
});

test('who does not answer in time, or has ended, is not waited for', async () => {
  const [one] = createPair({}, { never: () => new Promise(() => {}) });
  await expect(one.ask('never', undefined, 20)).rejects.toThrow('no answer to "never" in time');
  const waiting = expect(one.ask('never')).rejects.toThrow('it is gone');
  one.end('it is gone');
  await waiting;
  await expect(one.ask('never')).rejects.toThrow('it is gone');
});
