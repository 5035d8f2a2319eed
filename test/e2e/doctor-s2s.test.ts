// What an administrator sees of other servers from the command line: the compiled program, a name server, and another server.
import { afterAll, beforeAll, expect, test } from 'vitest';
import { ChildServer } from '../kit/child-server.ts';
import { enter, federating } from '../kit/federation.ts';
import { freePort, NameServerProgram } from '../kit/peers.ts';
import { TestServer } from '../kit/test-server.ts';

let names: NameServerProgram;
let ours: ChildServer;
let theirs: TestServer;

beforeAll(async () => {
  const [port, other, dead] = [await freePort(), await freePort(), await freePort()];
  names = await NameServerProgram.start([
    { domain: 'parley.example', port },
    { domain: 'other.example', port: other },
    { domain: 'dead.example', port: dead },
  ]);
  const dns = { servers: [`127.0.0.1:${names.port}`] };
  ours = await ChildServer.start({
    hosts: { 'parley.example': {}, 'hermit.example': { s2s: { enabled: false } } },
    s2s: { policy: 'deny-list', deny: ['foe.example'] },
    listen: { s2s: port },
    dns,
  });
  const settings = federating('other.example', { dns, listen: { s2s: other } });
  theirs = await TestServer.start(settings);
});

afterAll(async () => {
  await ours?.[Symbol.asyncDispose]();
  await theirs?.stop();
  await names?.[Symbol.asyncDispose]();
});

test('the steps of reaching a domain are told, and where it fails', async () => {
  const good = await ours.cli(['doctor', 's2s', 'other.example']);
  // "localhost" is tried by both families
  expect(good.stdout).toMatch(
    /^ok +dns: .*\n(warn +tcp: ::1 .*\n)?ok +tcp: .*\nok +tls: STARTTLS.*\nwarn +certificate: .*\nok +authentication: /m,
  );
  expect(good.stdout).toContain('parley.example reaches other.example');
  expect(good.code).toBe(0);

  const bad = await ours.cli(['doctor', 's2s', 'dead.example', '--json']);
  expect(bad.code).toBe(1);
  expect(JSON.parse(bad.stdout)).toMatchObject({ reached: false, host: 'parley.example' });
  expect(bad.stdout).toContain('nobody listens there');
  expect((await ours.cli(['doctor', 's2s', 'dead.example', '--host', 'not.ours'])).stderr).toContain('not served here');
});

test('what is not tried is told with the reason', async () => {
  const refused = async (...args: string[]): Promise<string> => {
    const { code, stderr } = await ours.cli(['doctor', 's2s', ...args]);
    return `${code} ${stderr.trim()}`;
  };
  expect(await refused('foe.example')).toBe(
    '1 parley: by its settings parley.example does not talk to foe.example (s2s.policy)',
  );
  expect(await refused('other.example', '--host', 'hermit.example')).toBe(
    '1 parley: by its settings hermit.example talks to no other server (s2s.enabled)',
  );
  expect(await refused('hermit.example')).toMatch(/^2 parley: hermit.example is served here/);
  expect(await refused('juliet@other.example')).toMatch(/^2 parley: "juliet@other.example" is not a domain/);
  expect((await ours.cli(['s2s', 'ls', 'other.example'])).stdout).toBe('there are no streams with other.example\n');
});

test('streams are listed, and ended', async () => {
  await ours.addUsers('parley.example', ['romeo']);
  const juliet = await enter(theirs, 'juliet@other.example');
  juliet.client.write("<message to='romeo@parley.example'><body>x</body></message>");
  await expect
    .poll(async () => (await ours.cli(['s2s', 'ls'])).stdout)
    .toMatch(/^in.* +other\.example +parley\.example +open/m);
  const closed = await ours.cli(['s2s', 'close', 'other.example']);
  expect(closed.stdout).toMatch(/closed/);
  await expect.poll(() => theirs.server.federation().filter(({ state }) => state === 'open')).toEqual([]);
  expect((await ours.cli(['s2s', 'close', 'other.example'])).code).toBe(1);
  await juliet.client.destroy();
}, 40_000);
