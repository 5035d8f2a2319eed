// CPU time and memory of process trees, read from /proc (Linux).

import { readdirSync, readFileSync } from 'node:fs';

/** What a set of process trees has used. */
export interface Usage {
  /** User and system time since the processes started, in seconds, with their reaped children. */
  readonly cpu: number;
  /** Resident memory in bytes; pages that processes share are counted once each. */
  readonly rss: number;
  /** Proportional share of resident memory in bytes: shared pages are divided among their users. */
  readonly pss: number;
  readonly processes: number;
}

export interface ServerUsage {
  readonly server: Usage;
  /** Database processes (Postgres, Redis) among them, kept apart; undefined when there are none. */
  readonly database: Usage | undefined;
}

interface ProcessLine {
  readonly pid: number;
  readonly parent: number;
  readonly name: string;
  readonly ticks: number;
}

const TICKS_PER_SECOND = 100; // USER_HZ, fixed at 100 in Linux's interface to user space
const NOTHING: Usage = { cpu: 0, rss: 0, pss: 0, processes: 0 };
const DATABASES = /^(postgres|postmaster|redis-server)/;

/** Reads the trees below `roots`, the roots included. A root that is gone counts as nothing. Memory is read only when asked for: it is slow. */
export function usageOf(roots: readonly number[], withMemory = true): ServerUsage {
  const lines = new Map<number, ProcessLine>();
  const children = new Map<number, number[]>();
  for (const entry of readdirSync('/proc')) {
    if (!/^\d+$/.test(entry)) continue;
    const line = readLine(Number(entry));
    if (!line) continue;
    lines.set(line.pid, line);
    const siblings = children.get(line.parent);
    if (siblings) siblings.push(line.pid);
    else children.set(line.parent, [line.pid]);
  }
  let server = NOTHING;
  let database: Usage | undefined;
  const seen = new Set<number>();
  const queue = [...roots];
  for (let pid = queue.pop(); pid !== undefined; pid = queue.pop()) {
    const line = lines.get(pid);
    if (!line || seen.has(pid)) continue;
    seen.add(pid);
    queue.push(...(children.get(pid) ?? []));
    const own: Usage = {
      cpu: line.ticks / TICKS_PER_SECOND,
      processes: 1,
      ...(withMemory ? memoryOf(pid) : { rss: 0, pss: 0 }),
    };
    if (DATABASES.test(line.name)) database = sum(database ?? NOTHING, own);
    else server = sum(server, own);
  }
  return { server, database };
}

function sum(a: Usage, b: Usage): Usage {
  return { cpu: a.cpu + b.cpu, rss: a.rss + b.rss, pss: a.pss + b.pss, processes: a.processes + b.processes };
}

function readLine(pid: number): ProcessLine | undefined {
  const text = readProc(`/proc/${pid}/stat`);
  if (!text) return undefined;
  // The name stands in parentheses and may itself hold spaces and parentheses.
  const close = text.lastIndexOf(')');
  const name = text.slice(text.indexOf('(') + 1, close);
  const fields = text
    .slice(close + 2)
    .split(' ')
    .map(Number);
  const [, parent] = fields;
  // proc(5): utime, stime, cutime and cstime are fields 14 to 17, of which two came before the slice and counting starts at 1.
  const ticks = fields[11]! + fields[12]! + fields[13]! + fields[14]!;
  return { pid, parent: parent!, name, ticks };
}

function memoryOf(pid: number): { rss: number; pss: number } {
  const text = readProc(`/proc/${pid}/smaps_rollup`) ?? '';
  const kilobytes = (key: string) => Number(new RegExp(`^${key}:\\s+(\\d+) kB`, 'm').exec(text)?.[1] ?? 0);
  return { rss: kilobytes('Rss') * 1024, pss: kilobytes('Pss') * 1024 };
}

function readProc(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined; // the process ended between the listing and the reading
  }
}
