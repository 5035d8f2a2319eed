// What a host tells everybody of itself over HTTP: its outages (XEP-0455), and whom to tell of a hole (RFC 9116).
import { afterEach, expect, test } from 'vitest';
import type { ConfigInput } from '../../../src/config/server.ts';
import { FakeClock } from '../../kit/clock.ts';
import { TestServer, testConfig } from '../../kit/test-server.ts';

let server: TestServer | undefined;
afterEach(async () => {
  await server?.stop();
  server = undefined;
});

async function get(
  path: string,
  settings: Omit<ConfigInput, 'hosts' | 'listen'>,
  clock?: FakeClock,
): Promise<Response> {
  const all: ConfigInput = { hosts: { 'verona.test': {} }, listen: { c2s: null, http: 0 }, ...settings };
  server = await TestServer.start(all, clock === undefined ? {} : { clock });
  return fetch(`http://127.0.0.1:${server.addressOf('http').port}${path}`, { headers: { host: 'verona.test' } });
}

const outage = (one: object): Omit<ConfigInput, 'hosts' | 'listen'> => ({
  modules: { 'outage-status': { outage: one } },
});

test('nothing is wrong: an empty object (XEP-0455 2.2)', async () => {
  const answer = await get('/outage.json', {});
  expect(answer.status).toBe(200);
  expect(answer.headers.get('content-type')).toMatch(/^application\/json/);
  expect(answer.headers.get('access-control-allow-origin')).toBe('*');
  expect(await answer.json()).toEqual({});
});

test('an outage is told with its times and messages (XEP-0455 2.2)', async () => {
  const answer = await get(
    '/outage.json',
    outage({
      beginning: '2026-01-31T22:00:00+01:00',
      'expected-end': '2026-01-31T23:00:00Z',
      message: { default: 'New disks', de: 'Neue Platten' },
    }),
  );
  expect(await answer.json()).toEqual({
    planned: true,
    beginning: '2026-01-31T21:00:00.000Z',
    expected_end: '2026-01-31T23:00:00.000Z',
    message: { default: 'New disks', de: 'Neue Platten' },
  });
});

test.each([
  [{ beginning: 'tomorrow' }, '"tomorrow" is not a time. Try "2026-01-31T12:00:00Z".'],
  [{ beginning: '2026-01-31T12:00:00Z', message: { de: 'Neue Platten' } }, 'has no "default"'],
])('%j is refused', async (one, problem) => {
  await expect(TestServer.start({ hosts: { 'verona.test': {} }, ...outage(one) })).rejects.toThrow(problem);
});

test('whom to tell of a hole, for a month from now (RFC 9116 2.5)', async () => {
  const clock = new FakeClock();
  const contacts = {
    security: ['mailto:security@verona.test', 'xmpp:escalus@verona.test'],
    admin: 'mailto:a@verona.test',
  };
  const answer = await get('/.well-known/security.txt', { contacts }, clock);
  expect(answer.headers.get('content-type')).toBe('text/plain; charset=utf-8');
  const expires = new Date(clock.now() + 30 * 86_400_000).toISOString();
  expect(await answer.text()).toBe(
    `Contact: mailto:security@verona.test\nContact: xmpp:escalus@verona.test\nExpires: ${expires}\n`,
  );
});

test('else the administrators; and where nobody is named there is no such document', async () => {
  const answer = await get('/.well-known/security.txt', { contacts: { admin: 'mailto:a@verona.test' } });
  expect(await answer.text()).toMatch(/^Contact: mailto:a@verona.test\n/);
  await server!.stop();
  expect((await get('/.well-known/security.txt', {})).status).toBe(404);
  expect(testConfig({ hosts: { 'verona.test': {} } }).hosts['verona.test']!.contacts.security).toEqual([]);
});
