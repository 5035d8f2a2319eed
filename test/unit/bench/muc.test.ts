// The load of rooms, small, against a server in this process: what it counts must be true.
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Report } from '../../../bench/load/report.ts';
import { parseOptions } from '../../../bench/options.ts';
import { profileNamed } from '../../../bench/profiles/index.ts';
import { registerUsers, runProfile } from '../../../bench/run.ts';
import { TestServer } from '../../kit/test-server.ts';

const TIMEOUT = 60_000;
const small = ['--rooms', '2', '--occupants', '3', '--big', '7', '--solo', '4', '--seconds', '0.3', '--warmup', '0.1'];
const short = ['--settle', '0', '--visits', '2', '--window', '4', '--rate', '200', '--workers', '2'];
let server: TestServer;

beforeAll(async () => {
  server = await TestServer.start({ hosts: { 'example.org': {} } });
});
afterAll(async () => {
  expect(server.errors).toEqual([]);
  await server.stop();
});

async function run(...args: string[]): Promise<Report> {
  const profile = profileNamed('muc');
  const all = ['--host', '127.0.0.1', '--port', String(server.c2s.port), ...small, ...short, ...args];
  const { own, common } = parseOptions(all, profile.options, (options) => profile.defaultUsers(options));
  const { target, users, workers } = common;
  await registerUsers(target, users);
  return runProfile('muc', { target, users, workers, pids: [process.pid], options: own });
}

const figure = (report: Report, key: string): number =>
  report.figures.find((candidate) => candidate.key === key)?.value ?? Number.NaN;

test('rooms are filled, spoken in, visited and left, and every stanza is accounted for', {
  timeout: TIMEOUT,
}, async () => {
  const report = await run();
  expect(report.failures).toEqual([]);
  for (const key of ['rooms', 'big', 'rooms_rate', 'big_rate']) {
    expect(figure(report, `${key}_deliveries_per_s`)).toBeGreaterThan(30);
    expect(figure(report, `${key}_latency_p50_ms`)).toBeGreaterThan(0);
  }
  expect(figure(report, 'visit_join_p50_ms')).toBeGreaterThan(0);
});

test('an occupant who reads nothing is left out of the account, and everybody else is not', {
  timeout: TIMEOUT,
}, async () => {
  const report = await run('--rooms', '0', '--solo', '0', '--stall', '--quiet', '--backlog', '1');
  expect(report.failures).toEqual([]);
  expect(figure(report, 'big_stall_deliveries_per_s')).toBeGreaterThan(30);
});
