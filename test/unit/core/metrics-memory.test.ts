// What Node tells of a process is watched for as long as the process lives; a server must not hang on that.
import { setTimeout as sleep } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { expect, test } from 'vitest';
import { Metrics } from '../../../src/core/metrics.ts';

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

function open(): WeakRef<object> {
  const owner = { connections: 1 };
  const metrics = new Metrics();
  metrics.observe('connections', 'Open connections', [], (gauge) => gauge.set(owner.connections));
  metrics.process();
  return new WeakRef(owner);
}

test('whoever has metrics of the process can be forgotten', async () => {
  const owner = open();
  // (a reference that was just made holds for the rest of its turn)
  await sleep(10);
  collectGarbage();
  expect(owner.deref()).toBeUndefined();
});

test('a text of metrics has those of the server and those of the process, a line each', async () => {
  const metrics = new Metrics();
  metrics.observe('connections', 'Open connections', [], (gauge) => gauge.set(3));
  metrics.process();
  const lines = (await metrics.text()).split('\n');
  expect(lines).toContain('parley_connections 3');
  expect(lines.some((line) => line.startsWith('# HELP process_cpu_seconds_total '))).toBe(true);
});
