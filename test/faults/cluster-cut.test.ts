// Redis cut off from one node as a firewall does it, or a cable: packets are lost, and nobody is told. What people see, and for how long,
// is as docs/cluster.md says in its table. The other faults, and this one behind a proxy, are in cluster-death.test.ts.
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, expect, test } from 'vitest';
import { ChildServer, passwordOf, until } from '../kit/child-server.ts';
import type { Address, StreamClient } from '../kit/client.ts';
import { logIn } from '../kit/login.ts';
import { canIsolate, createHosts, openGate } from '../kit/namespaces.ts';
import { startPostgres } from '../kit/postgres.ts';
import { pause } from './kit.ts';

const domain = 'localhost';
const users = ['romeo', 'juliet', 'nurse'];
/** A node that is not heard of is dead after five to six seconds; the rest is for a slow machine. */
const DEATH = 9_000;

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

/** Those of the bodies that were heard within `ms` milliseconds, and whatever presence says of somebody. */
async function hear(
  client: StreamClient,
  ms: number,
  isEnough: (heard: readonly string[]) => boolean,
): Promise<string[]> {
  const heard: string[] = [];
  for (const end = performance.now() + ms; !isEnough(heard) && performance.now() < end; ) {
    const item = await client.next(Math.max(1, end - performance.now()));
    if (item?.kind !== 'element') break;
    const { element } = item;
    const body = element.getChildText('body');
    if (body !== null && body !== undefined) heard.push(body);
    else if (element.is('presence')) heard.push(`${element.attrs.from} ${element.attrs.type ?? 'available'}`);
    else if (element.is('error')) heard.push(element.children.map(String).join(''));
  }
  return heard;
}

test.skipIf(!canIsolate())(
  'no packet gets from one node to Redis: who is told what, and when it is over',
  async () => {
    const folder = mkdtempSync(join(tmpdir(), 'parley-cut-'));
    cleanups.push(() => rmSync(folder, { recursive: true, force: true }));
    const network = createHosts();
    cleanups.push(() => network.remove());
    const [far, island] = network.hosts;
    const socket = join(folder, 'redis.sock');
    const settings = ['--bind', '0.0.0.0', '--protected-mode', 'no', '--save', '', '--unixsocket', socket];
    const [first = '', ...args] = [...far.under, 'redis-server', ...settings];
    const redis: ChildProcess = spawn(first, args, { cwd: folder, stdio: 'ignore' });
    cleanups.push(() => redis.kill('SIGKILL'));
    const postgres = await startPostgres();
    cleanups.push(() => postgres.remove());

    const common = {
      hosts: { [domain]: {} },
      tls: { required: false },
      limits: { enabled: false },
      database: `postgres:///postgres?user=parley&host=${encodeURIComponent(String(postgres.config.host))}`,
    };
    const here = await ChildServer.start({ ...common, redis: `redis+unix://${socket}`, cluster: { name: 'here' } });
    cleanups.push(() => here[Symbol.asyncDispose]());
    const there = await ChildServer.start(
      { ...common, redis: `redis://${far.address}`, cluster: { name: 'there' } },
      0,
      island.under,
    );
    cleanups.push(() => there[Symbol.asyncDispose]());
    await here.addUsers(domain, users);
    const gate = await openGate(island, there.address('c2s').port, join(folder, 'gate.sock'));
    cleanups.push(() => gate.close());

    const enter = async (at: Address, user: string, resource = 'home'): Promise<StreamClient> => {
      const { client } = await logIn(at, { user, password: passwordOf(user), domain, resource });
      cleanups.push(() => client.destroy());
      client.write('<presence/>');
      await client.fence();
      return client;
    };
    const say = (client: StreamClient, to: string, text: string): void =>
      client.write(`<message to='${to}@${domain}' type='chat'><body>${text}</body></message>`);

    const romeo = await enter(here.address('c2s'), 'romeo');
    const juliet = await enter(gate.address, 'juliet');
    const nurse = await enter(gate.address, 'nurse');
    romeo.write(`<presence to='juliet@${domain}' type='subscribe'/>`);
    await juliet.fence();
    juliet.write(`<presence to='romeo@${domain}' type='subscribed'/>`);
    const isSeen = `juliet@${domain}/home available`;
    expect(await hear(romeo, DEATH, (heard) => heard.includes(isSeen))).toContain(isSeen);
    say(romeo, 'juliet', 'before');
    expect(await hear(juliet, DEATH, (heard) => heard.includes('before'))).toContain('before');

    network.connect(false);
    const cut = performance.now();
    // those on the same node talk on
    say(juliet, 'nurse', 'among us');
    expect(await hear(nurse, 2_000, (heard) => heard.includes('among us'))).toContain('among us');
    say(juliet, 'romeo', 'kept');
    // contacts elsewhere see her go
    const isGone = `juliet@${domain}/home unavailable`;
    expect(await hear(romeo, DEATH, (heard) => heard.includes(isGone))).toEqual([isGone]);
    expect(performance.now() - cut).toBeGreaterThan(4_000);
    say(romeo, 'juliet', 'while away');
    // her own connection stays, and nobody new gets in
    await juliet.fence();
    const guest = logIn(gate.address, { user: 'nurse', password: passwordOf('nurse'), domain, resource: 'guest' });
    await expect(guest).rejects.toThrow(/temporary|resource-constraint|wait/);
    await pause(Math.max(0, 8_000 - (performance.now() - cut)));

    network.connect(true);
    const restored = performance.now();
    const reset = await hear(juliet, DEATH, () => false);
    expect(reset.join()).toContain('<reset');
    const back = performance.now() - restored;
    expect(await nurse.closed(DEATH)).toBe(true);
    expect(await hear(romeo, DEATH, (heard) => heard.includes('kept'))).toEqual(['kept']);
    const again = await enter(gate.address, 'juliet');
    expect(await hear(again, DEATH, (heard) => heard.includes('while away'))).toContain('while away');
    // her node says once more that she went, since she spoke while nobody heard it
    expect(await hear(romeo, DEATH, (heard) => heard.includes(isSeen))).toEqual([isGone, isSeen]);
    const isWhole = async (): Promise<boolean> =>
      JSON.parse((await there.cli(['cluster', 'status', '--json'])).stdout).nodes?.length === 2;
    expect(await until(DEATH, isWhole)).toBe(true);
    expect(back).toBeLessThan(5_000);
  },
  120_000,
);
