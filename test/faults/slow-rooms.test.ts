// Rooms on a disk that takes its time, where what comes while something is read or written waits, and nothing is lost or waits for ever;
// and with an occupant who reads nothing, of whom the others notice nothing.
import { expect, test } from 'vitest';
import type { Report } from '../../bench/load/report.ts';
import { parseOptions } from '../../bench/options.ts';
import { profileNamed } from '../../bench/profiles/index.ts';
import { registerUsers, runProfile } from '../../bench/run.ts';
import { createMemoryDriver } from '../../src/storage/memory.ts';
import { enter } from '../kit/federation.ts';
import { lateDriver } from '../kit/late-driver.ts';
import { told } from '../kit/server-peer.ts';
import { TestServer } from '../kit/test-server.ts';

const domain = 'localhost';
const room = `coven@groups.${domain}`;

test('what comes while a room is being made comes after that, and the room goes on', async () => {
  const memory = createMemoryDriver({ now: Date.now, after: () => () => {} });
  const driver = lateDriver(memory, () => new Promise((resolve) => setTimeout(resolve, 5)));
  await using server = await TestServer.start({ hosts: { [domain]: {} } }, { driver });
  const [romeo, juliet] = [await enter(server, `romeo@${domain}`), await enter(server, `juliet@${domain}`)];
  const owner = "<query xmlns='http://jabber.org/protocol/muc#owner'><x xmlns='jabber:x:data' type='submit'/></query>";
  romeo.client.write(
    `<presence to='${room}/Romeo'><x xmlns='http://jabber.org/protocol/muc'/></presence>` +
      `<iq type='set' id='o' to='${room}'>${owner}</iq>` +
      `<message type='groupchat' to='${room}'><body>Is anybody here?</body></message>`,
  );
  for (const part of ['code="201"', '<subject', 'type="result"', 'Is anybody here?']) {
    expect(told(await romeo.client.next())).toContain(part);
  }
  juliet.client.write(`<presence to='${room}/Juliet'><x xmlns='http://jabber.org/protocol/muc'/></presence>`);
  for (const part of ['/Romeo', 'code="110"', 'Is anybody here?', '<subject'])
    expect(told(await juliet.client.next())).toContain(part);
  expect(server.errors).toEqual([]);
});

const figure = (report: Report, key: string): number =>
  report.figures.find((candidate) => candidate.key === key)?.value ?? Number.NaN;

test('of 2,000 in a room, all but the one who reads nothing hear everything as soon as before', {
  timeout: 120_000,
}, async () => {
  await using server = await TestServer.start({
    hosts: { 'example.org': {} },
    limits: { 'send-queue-bytes': '1MiB' },
  });
  const profile = profileNamed('muc');
  const load = [
    '--rooms',
    '0',
    '--solo',
    '0',
    '--big',
    '2000',
    '--quiet',
    '--stall',
    '--rate',
    '8000',
    '--visits',
    '0',
  ];
  const times = ['--seconds', '2', '--warmup', '0.5', '--settle', '0', '--window', '2', '--workers', '1'];
  const at = ['--host', '127.0.0.1', '--port', String(server.c2s.port)];
  const { own, common } = parseOptions([...at, ...load, ...times], profile.options, (options) =>
    profile.defaultUsers(options),
  );
  const { target, users, workers } = common;
  await registerUsers(target, users);
  const report = await runProfile('muc', { target, users, workers, pids: [process.pid], options: own });
  expect(report.failures).toEqual([]);
  // it did get in the way of itself: its stream was ended
  expect(server.log.filter(({ message }) => message === 'a reader was too slow')).toHaveLength(1);
  // what one turn of a machine that does other things takes, and no more
  expect(figure(report, 'big_stall_rate_latency_p95_ms')).toBeLessThan(
    3 * figure(report, 'big_rate_latency_p95_ms') + 200,
  );
  expect(server.errors).toEqual([]);
});
