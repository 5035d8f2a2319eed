import { expect, test } from 'vitest';
import type { XmlStream } from '../../../src/net/stream.ts';
import { Verifications } from '../../../src/s2s/verifications.ts';
import { FakeClock } from '../../kit/clock.ts';

const pair = { from: 'verona.test', to: 'mantua.test' };
const back = { from: 'mantua.test', to: 'verona.test' };

function asking() {
  const clock = new FakeClock();
  const sent: string[] = [];
  const stream = { send: (xml: string) => sent.push(xml) } as unknown as XmlStream;
  return { clock, sent, stream, verifications: new Verifications(clock, 30_000) };
}

test('a question that nobody answers is given up in time', async () => {
  const { clock, stream, verifications } = asking();
  const outcome = verifications.ask(stream, pair, 'id', 'key');
  await clock.advance(30_000);
  expect(await outcome).toMatchObject({ condition: 'remote-server-timeout' });
  expect(verifications.size).toBe(0);
});

test('the time of one question does not run out for the next one about the same stream', async () => {
  const { clock, stream, verifications } = asking();
  const first = verifications.ask(stream, pair, 'id', 'wrong');
  verifications.answered(back, 'id', 'invalid');
  expect(await first).toBe('invalid');
  await clock.advance(20_000);
  const second = verifications.ask(stream, pair, 'id', 'right');
  await clock.advance(20_000);
  verifications.answered(back, 'id', 'valid');
  expect(await second).toBe('valid');
});

test('a question is asked once, also while there is no stream yet', async () => {
  const { sent, stream, verifications } = asking();
  const first = verifications.ask(undefined, pair, 'id', 'key');
  expect(await verifications.ask(undefined, pair, 'id', 'key')).toMatchObject({ condition: 'resource-constraint' });
  verifications.flush(stream);
  expect(sent).toHaveLength(1);
  verifications.answered(back, 'id', 'valid');
  expect(await first).toBe('valid');
});
