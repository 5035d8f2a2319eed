// Two hosts on this machine, each with a network of its own and a cable between them, which can be pulled out. Linux, and only as root.
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { type AddressInfo, connect, createServer } from 'node:net';
import type { Address } from './client.ts';

const ip = (...args: readonly string[]): void => {
  execFileSync('ip', args, { stdio: 'ignore', timeout: 5_000 });
};

/** Whether this user, on this machine, may make network namespaces. */
export function canIsolate(): boolean {
  const name = `pl${process.pid}t`;
  try {
    ip('netns', 'add', name);
    ip('netns', 'del', name);
    return true;
  } catch {
    return false;
  }
}

export interface Host {
  /** What a command stands behind to run on it. */
  readonly under: readonly string[];
  /** Where the other one reaches it. */
  readonly address: string;
}

export interface TwoHosts {
  readonly hosts: readonly [Host, Host];
  /** Whether anything gets from one to the other. Nobody is told when nothing does. */
  connect(isConnected: boolean): void;
  remove(): void;
}

export function createHosts(): TwoHosts {
  const names = [`pl${process.pid}a`, `pl${process.pid}b`] as const;
  const addresses = ['10.213.0.1', '10.213.0.2'] as const;
  const hosts = names.map((name, i) => ({ under: ['ip', 'netns', 'exec', name], address: addresses[i]! }));
  const remove = (): void => {
    for (const name of names) if (existsSync(`/run/netns/${name}`)) ip('netns', 'del', name);
  };
  try {
    for (const name of names) {
      ip('netns', 'add', name);
      ip('-n', name, 'link', 'set', 'lo', 'up');
    }
    const [one, other] = names;
    ip('-n', one, 'link', 'add', 'cable', 'type', 'veth', 'peer', 'name', 'cable', 'netns', other);
    names.forEach((name, i) => {
      ip('-n', name, 'address', 'add', `${addresses[i]}/24`, 'dev', 'cable');
      ip('-n', name, 'link', 'set', 'cable', 'up');
    });
  } catch (error) {
    remove();
    throw error;
  }
  const [one] = names;
  return {
    hosts: hosts as unknown as readonly [Host, Host],
    connect: (isConnected) => ip('-n', one, 'link', 'set', 'cable', isConnected ? 'up' : 'down'),
    remove,
  };
}

export interface Gate {
  /** Here, of what listens there. */
  readonly address: Address;
  close(): Promise<void>;
}

/** A way from here to a port on the loopback of such a host: a file that both can open. */
export async function openGate({ under }: Host, port: number, file: string): Promise<Gate> {
  const code = `const { connect, createServer } = require('node:net');
createServer((here) => {
  const there = connect(${port}, '127.0.0.1');
  for (const [one, other] of [[here, there], [there, here]]) one.on('error', () => other.destroy()).pipe(other);
}).listen(process.argv[1]);`;
  const [first = '', ...rest] = [...under, process.execPath, '-e', code, file];
  const child: ChildProcess = spawn(first, rest, { stdio: 'ignore' });
  for (const end = Date.now() + 5_000; !existsSync(file) && Date.now() < end; )
    await new Promise((done) => setTimeout(done, 20));
  const server = createServer((client) => {
    const gate = connect(file);
    client.on('error', () => gate.destroy()).pipe(gate);
    gate.on('error', () => client.destroy()).pipe(client);
  });
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  return {
    address: { address: '127.0.0.1', port: (server.address() as AddressInfo).port },
    async close() {
      child.kill('SIGKILL');
      await new Promise((done) => server.close(done));
    },
  };
}
