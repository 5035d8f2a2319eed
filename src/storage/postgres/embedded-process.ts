// The postmaster as a process: who it is, by the file that it keeps (PostgreSQL manual, 66.1 and miscadmin.h), and whether it lives.
import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

export interface Postmaster {
  readonly pid: number;
  /** The folder of its socket. */
  readonly socket: string;
  /** `starting`, `ready`, `stopping`; empty at the very beginning. */
  readonly status: string;
}

const pidFile = (db: string): string => join(db, 'postmaster.pid');

/** What `postmaster.pid` says; `undefined` when there is none. */
export function readPostmaster(db: string): Postmaster | undefined {
  let lines: string[];
  try {
    lines = readFileSync(pidFile(db), 'utf8').split('\n');
  } catch {
    return undefined;
  }
  const pid = Math.abs(Number.parseInt(lines[0] ?? '', 10));
  return pid > 0 ? { pid, socket: lines[4] ?? '', status: (lines[7] ?? '').trim() } : undefined;
}

export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

/** Whether a process is a living postmaster with this socket folder, and not another that got the same number after a reboot. */
export function isPostmaster(pid: number, socket: string): boolean {
  if (!isAlive(pid)) return false;
  let command: string;
  try {
    // readable also for a root that may not look into other users' processes, as in containers; empty for a zombie
    command =
      process.platform === 'linux'
        ? readFileSync(`/proc/${pid}/cmdline`, 'utf8')
        : spawnSync('ps', ['-ww', '-o', 'command=', '-p', String(pid)], { encoding: 'utf8' }).stdout;
  } catch {
    return isAlive(pid);
  }
  return command.includes('postgres') && command.includes(socket);
}

/**
 * After a reboot the number in `postmaster.pid` may be that of some other process, and PostgreSQL would not start. We put in a number that
 * no process has, and keep the rest: PostgreSQL checks for left-over processes by what is written there.
 */
export function disown(db: string): void {
  const file = pidFile(db);
  const rest = readFileSync(file, 'utf8').split('\n').slice(1);
  writeFileSync(file, [String(2 ** 31 - 2), ...rest].join('\n'));
}

export const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** Asks again and again until it holds; false when it does not within `ms` milliseconds. */
export async function waitFor(ms: number, holds: () => boolean | Promise<boolean>): Promise<boolean> {
  const deadline = performance.now() + ms;
  for (let wait = 5; ; wait = Math.min(wait * 1.5, 200)) {
    if (await holds()) return true;
    if (performance.now() > deadline) return false;
    await sleep(wait);
  }
}
