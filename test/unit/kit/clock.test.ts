import { describe, expect, test } from 'vitest';
import { FakeClock, START } from '../../kit/clock.ts';

describe('the fake clock', () => {
  test('stands still until it is moved', async () => {
    const clock = new FakeClock();
    let isDone = false;
    clock.after(10, () => {
      isDone = true;
    });
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect([clock.now(), isDone]).toEqual([START, false]);
    await clock.advance(9);
    expect(isDone).toBe(false);
    await clock.advance(1);
    expect([clock.now(), isDone]).toEqual([START + 10, true]);
  });

  test('runs what is due in order, each at its own time', async () => {
    const clock = new FakeClock(0);
    const ran: [string, number][] = [];
    const note = (name: string) => () => ran.push([name, clock.now()]);
    clock.after(30, note('third'));
    clock.after(10, note('first'));
    clock.after(10, note('second'));
    clock.after(99, note('never'));
    await clock.advance(50);
    expect(ran).toEqual([
      ['first', 10],
      ['second', 10],
      ['third', 30],
    ]);
    expect([clock.now(), clock.pending]).toEqual([50, 1]);
  });

  test('runs what is set meanwhile, also by a promise', async () => {
    const clock = new FakeClock(0);
    let ticks = 0;
    const tick = async (): Promise<void> => {
      ticks++;
      await undefined;
      clock.after(10, () => void tick());
    };
    clock.after(10, () => void tick());
    await clock.advance(100);
    expect(ticks).toBe(10);
  });

  test('does not run what was cancelled', async () => {
    const clock = new FakeClock(0);
    const cancel = clock.after(10, () => expect.unreachable());
    cancel();
    await clock.advance(20);
    expect(clock.pending).toBe(0);
  });
});
