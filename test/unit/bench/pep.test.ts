// The load of an account's nodes, small, against a server in this process: what it counts must be true.
import { expect, test } from 'vitest';
import { parseOptions } from '../../../bench/options.ts';
import { profileNamed } from '../../../bench/profiles/index.ts';
import { registerUsers, runProfile } from '../../../bench/run.ts';
import { TestServer } from '../../kit/test-server.ts';

test('contacts become such, hear of every item, and all items are found on pages', { timeout: 60_000 }, async () => {
  const server = await TestServer.start({
    hosts: { 'example.org': { modules: { pep: { 'publishes-per-minute': 1_000_000 } } } },
  });
  const profile = profileNamed('pep');
  const small = ['--contacts', '2,4', '--seconds', '0.3', '--warmup', '0.1', '--rate', '80', '--workers', '2'];
  const shelf = ['--items', '40', '--block', '10', '--page', '5'];
  const args = ['--host', '127.0.0.1', '--port', String(server.c2s.port), '--window', '1', ...small, ...shelf];
  const { own, common } = parseOptions(args, profile.options, (options) => profile.defaultUsers(options));
  const { target, users, workers } = common;
  await registerUsers(target, users);
  const { failures, figures } = await runProfile('pep', { target, users, workers, pids: [process.pid], options: own });
  const figure = (key: string): number => figures.find((one) => one.key === key)?.value ?? Number.NaN;
  expect(failures).toEqual([]);
  for (const contacts of [2, 4]) {
    expect(figure(`window_${contacts}_latency_p50_ms`)).toBeGreaterThan(0);
    expect(figure(`rate_${contacts}_deliveries_per_s`)).toBeGreaterThan(0);
  }
  expect([figure('kept'), figure('found')]).toEqual([40, 40]);
  expect(server.errors).toEqual([]);
  await server.stop();
});
