// What a server to be measured is, and the helpers that start and stop one in a directory of its own.

import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { chmodSync, existsSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import type { DatabaseAddress } from './postgres.ts';

/** What a server needs that talks to another one. */
export interface FederationOptions {
  /** Where it is to listen for the other. */
  readonly port: number;
  /** Of a name server on loopback that knows where both are. */
  readonly dnsPort: number;
  readonly certificate: Certificate;
  /** PEM file of the authority that it is to trust. */
  readonly authority: string;
  /** Names are proved by dialback (XEP-0220); otherwise nothing counts but certificates. */
  readonly isDialback: boolean;
}

/** Files in PEM: the key, the certificate, and both in one. */
export interface Certificate {
  readonly key: string;
  readonly cert: string;
  readonly pem: string;
}

export interface PeerOptions {
  /** A directory that lasts as long as the benchmark: started a second time in it, the server finds its users again. */
  readonly dir: string;
  readonly domain: string;
  readonly users: number;
  readonly userPrefix: string;
  readonly password: string;
  /** With an archive for everybody, carbons and stream management; otherwise without any of these. */
  readonly isFull: boolean;
  /** The first user and all others see each other's presence; a server may leave it to them to see to that. */
  readonly areFriends?: boolean;
  /** Undefined: it talks to no other server. */
  readonly federation?: FederationOptions | undefined;
  /** It is a node of a cluster. */
  readonly cluster?: { readonly redis: string; readonly name: string };
  /** Where it is to keep its data; undefined: where it does by itself. */
  readonly database: DatabaseAddress | undefined;
}

export interface RunningPeer {
  readonly host: string;
  /** Port of STARTTLS and of plain connections. */
  readonly port: number;
  readonly directTlsPort: number;
  /** Of WebSockets, without TLS and with it; a server may have none. */
  readonly webPort?: number;
  readonly secureWebPort?: number;
  /** The roots of its process trees. */
  readonly pids: readonly number[];
  /** Those of a database that was started for it. */
  readonly databasePids?: readonly number[];
  stop(): Promise<void>;
}

export interface Peer {
  readonly name: string;
  /** It talks to other servers, where that is wanted. */
  readonly canFederate: boolean;
  /** The version installed, or undefined when the server is not installed here. */
  version(): Promise<string | undefined>;
  start(options: PeerOptions): Promise<RunningPeer>;
}

export const LOOPBACK = '127.0.0.1';

const run = promisify(execFile);

/** Runs a program to its end; its output, or undefined when it is missing, fails or takes more than `seconds`. */
export async function output(program: string, args: readonly string[], seconds = 30): Promise<string | undefined> {
  try {
    const { stdout, stderr } = await run(program, args, { timeout: 1000 * seconds });
    return stdout + stderr;
  } catch {
    return undefined;
  }
}

/** The version of an installed Debian package. */
export async function debianVersion(name: string): Promise<string | undefined> {
  return (await output('dpkg-query', ['--show', name]))?.split('\t')[1]?.trim() || undefined;
}

export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, LOOPBACK, resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (address === null || typeof address === 'string') throw new Error('no free port');
  return address.port;
}

export interface Daemon {
  readonly process: ChildProcess;
  readonly log: string;
}

/** A directory that is gone when the benchmark ends, however it ends. */
export function temporaryDirectory(): string {
  const dir = mkdtempSync(join(tmpdir(), 'parley-bench-'));
  // databases below it run as another user
  chmodSync(dir, 0o711);
  process.once('exit', () => {
    // servers that are ending may write still
    rmSync(dir, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 });
  });
  return dir;
}

/** Starts a program in the foreground, its output in a log file. */
export function startDaemon(
  dir: string,
  program: string,
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Daemon {
  const log = join(dir, 'output.log');
  const out = openSync(log, 'a');
  const child = spawn(program, args, { cwd: dir, env: { ...process.env, ...env }, stdio: ['ignore', out, out] });
  endWithUs(child, 'SIGTERM');
  return { process: child, log };
}

/** An interrupted benchmark leaves no server behind. */
export function endWithUs(child: ChildProcess, signal: NodeJS.Signals): void {
  const end = () => child.kill(signal);
  process.once('exit', end);
  child.once('exit', () => process.off('exit', end));
}

/** Waits until the port accepts connections. Throws, with the end of the log, when the program ends or 60 s pass first. */
export async function waitForPort(daemon: Daemon, port: number): Promise<void> {
  for (let i = 0; i < 600; i++) {
    if (await accepts(port)) return;
    if (hasEnded(daemon.process)) break;
    await delay(100);
  }
  const tail = existsSync(daemon.log) ? readFileSync(daemon.log, 'utf8').slice(-2000) : '';
  await stopDaemon(daemon);
  throw new Error(`the server does not listen on port ${port}:\n${tail}`);
}

/** Ends the program by its process id: asks first, and insists after 20 s. */
export async function stopDaemon({ process: child }: Daemon, signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
  if (hasEnded(child)) return;
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  child.kill(signal);
  const timer = setTimeout(() => child.kill('SIGKILL'), 20_000);
  await ended;
  clearTimeout(timer);
}

/** An authority; the certificate is an ECDSA P-256 one. */
export interface Authority {
  readonly key: string;
  readonly cert: string;
}

/** Makes an authority that nobody else knows. */
export async function makeAuthority(dir: string): Promise<Authority> {
  const key = join(dir, 'ca-key.pem');
  const cert = join(dir, 'ca.pem');
  const use = ['-addext', 'keyUsage=critical,keyCertSign'];
  if (!existsSync(cert))
    await run('openssl', [...newCertificate, '-subj', '/CN=Bench', ...use, '-keyout', key, '-out', cert]);
  return { key, cert };
}

const newCertificate = [
  'req',
  '-x509',
  '-newkey',
  'ec',
  '-pkeyopt',
  'ec_paramgen_curve:prime256v1',
  '-nodes',
  '-days',
  '30',
];

/** An ECDSA P-256 certificate for the domain, made once per directory: self-signed, or signed by an authority. */
export async function makeCertificate(dir: string, domain: string, authority?: Authority): Promise<Certificate> {
  const key = join(dir, 'key.pem');
  const cert = join(dir, 'cert.pem');
  const pem = join(dir, 'both.pem');
  if (!existsSync(pem)) {
    const name = ['-subj', `/CN=${domain}`, '-addext', `subjectAltName=DNS:${domain}`];
    const signer = authority
      ? ['-CA', authority.cert, '-CAkey', authority.key, '-addext', 'basicConstraints=critical,CA:FALSE']
      : [];
    await run('openssl', [...newCertificate, ...name, ...signer, '-keyout', key, '-out', cert]);
    writeFileSync(pem, readFileSync(key, 'utf8') + readFileSync(cert, 'utf8'));
  }
  return { key, cert, pem };
}

function hasEnded(child: ChildProcess): boolean {
  return child.exitCode !== null || child.signalCode !== null || child.pid === undefined;
}

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host: LOOPBACK, port });
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}
