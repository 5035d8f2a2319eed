import { Readable } from 'node:stream';
import { expect, test } from 'vitest';
import { BrokenOff, steadily, TooSlow } from '../../../../src/modules/upload/intake.ts';
import { FakeClock, turn } from '../../../kit/clock.ts';

test('what came and was dealt with is not kept, however much there is', async () => {
  const CHUNK = 2 ** 18;
  const MANY = 1000;
  function* chunks(): Generator<Buffer> {
    for (let i = 0; i < MANY; i++) yield Buffer.alloc(CHUNK, i);
  }
  let most = 0;
  let sum = 0;
  for await (const chunk of steadily(Readable.from(chunks()), new FakeClock())) {
    sum += chunk.length;
    most = Math.max(most, process.memoryUsage().arrayBuffers);
    // the collector has its turn
    if (sum % (50 * CHUNK) === 0) await turn();
  }
  expect(sum).toBe(CHUNK * MANY);
  expect(most).toBeLessThan((CHUNK * MANY) / 2);
});

test('a body that breaks off is told from one that ends', async () => {
  const body = new Readable({ read() {} });
  body.push('abc');
  const chunks = steadily(body, new FakeClock());
  expect((await chunks.next()).value?.toString()).toBe('abc');
  const next = chunks.next();
  body.destroy(new Error('gone'));
  await expect(next).rejects.toThrow(BrokenOff);
});

test('time that passes while what came is dealt with is not held against the sender', async () => {
  const clock = new FakeClock();
  const body = new Readable({ read() {} });
  body.push('abc');
  const chunks = steadily(body, clock);
  await chunks.next();
  await clock.advance(5 * 60_000);
  body.push('def');
  expect((await chunks.next()).value?.toString()).toBe('def');
  const next = chunks.next();
  next.catch(() => {});
  await clock.advance(2 * 60_000);
  await expect(next).rejects.toThrow(TooSlow);
  expect(clock.pending).toBe(0);
});
