// Where the embedded database lives and as whom it runs: PostgreSQL refuses to run as root, a Unix socket's path has a length limit,
// and the folder that an operator chose may be one that a lesser user cannot reach.
import { createHash } from 'node:crypto';
import { chmodSync, chownSync, lstatSync, mkdirSync, readdirSync, readFileSync, realpathSync, statSync } from 'node:fs';
import { tmpdir, userInfo } from 'node:os';
import { dirname, join } from 'node:path';
import { EmbeddedError, type RunAs } from './embedded-binaries.ts';

/** The database's files. */
export interface Place {
  /** Ours, below the data folder. */
  readonly folder: string;
  /** The PostgreSQL data folder. */
  readonly db: string;
  /** Where the socket is. */
  readonly socket: string;
  readonly log: string;
  /** The user to run as, when not ourselves. */
  readonly user: RunAs | undefined;
  /** Whether that user can reach `db` by its path. */
  readonly isReachable: boolean;
}

// sockaddr_un has 104 bytes on macOS and the BSDs, 108 on Linux; the socket's own name takes `/.s.PGSQL.5432.lock`
const longestSocketFolder = 104 - 20;

/** Makes the folders. @throws EmbeddedError when they cannot be made or belong to somebody else */
export function preparePlace(dataFolder: string): Place {
  mkdirSync(join(dataFolder, 'postgres'), { recursive: true, mode: 0o700 });
  const folder = realpathSync(join(dataFolder, 'postgres'));
  const db = join(folder, 'db');
  const user = runAs(db);
  const log = join(folder, 'postgres.log');
  if (user !== undefined) {
    // the lesser user passes through our folder, and owns what is its own
    if (statSync(folder).uid !== user.uid) own(folder, user);
    takeOver(db, user);
  }
  const isReachable = user === undefined || canReach(folder, user);
  if (!isReachable && process.platform !== 'linux') {
    throw new EmbeddedError(
      `user id ${user.uid}, as which the embedded database would run, cannot reach ${folder}: use another data folder, or another user than root`,
    );
  }
  const socket = socketFolder(folder, user, isReachable);
  return { folder, db, socket, log, user, isReachable };
}

function runAs(db: string): RunAs | undefined {
  const uid = process.getuid!();
  const made = lstatSync(db, { throwIfNoEntry: false });
  if (uid !== 0) {
    if (made !== undefined && made.uid !== uid) {
      throw new EmbeddedError(`the database in ${db} belongs to user id ${made.uid}: start as that user or as root`);
    }
    try {
      userInfo();
    } catch {
      throw new EmbeddedError(
        `user id ${uid} has no entry in /etc/passwd, which PostgreSQL needs: add one, or set \`database\` to a postgres:// URL`,
      );
    }
    return undefined;
  }
  const users = passwd();
  // whoever has made it; not root, as after copying
  const owner = users.find((user) => user.uid === made?.uid && user.uid !== 0);
  const chosen =
    owner ??
    ['parley', 'postgres', 'nobody'].map((name) => users.find((user) => user.name === name)).find(Boolean) ??
    users.find((user) => user.uid !== 0);
  if (chosen === undefined)
    throw new EmbeddedError('PostgreSQL does not run as root, and there is no other user in /etc/passwd');
  return { uid: chosen.uid, gid: chosen.gid };
}

function passwd(): { name: string; uid: number; gid: number }[] {
  const lines = readFileSync('/etc/passwd', 'utf8').split('\n');
  return lines
    .map((line) => line.split(':'))
    .filter((fields) => fields.length >= 7)
    .map(([name, , uid, gid]) => ({ name: name!, uid: Number(uid), gid: Number(gid) }));
}

/** Gives a folder, and for folders what is in it, to a user. */
function takeOver(path: string, user: RunAs): void {
  const stat = lstatSync(path, { throwIfNoEntry: false });
  if (stat === undefined || stat.uid === user.uid) return;
  own(path, user);
  if (!stat.isDirectory()) return;
  for (const entry of readdirSync(path)) takeOver(join(path, entry), user);
}

function own(path: string, user: RunAs): void {
  try {
    chownSync(path, user.uid, user.gid);
  } catch (error) {
    throw new EmbeddedError(
      `PostgreSQL does not run as root, and ${path} cannot be given to user id ${user.uid} (${(error as Error).message}): use another data folder, or another user`,
    );
  }
}

/** Whether the user may pass through every folder on the way (by mode bits; where lists of access rights say more, we do without). */
function canReach(path: string, user: RunAs): boolean {
  for (let folder = path; ; folder = dirname(folder)) {
    const { uid, gid, mode } = statSync(folder);
    const bit = uid === user.uid ? 0o100 : gid === user.gid ? 0o010 : 0o001;
    if ((mode & bit) === 0) return false;
    if (folder === dirname(folder)) return true;
  }
}

/** Below the data folder where that is possible, else below the system's folder for temporary files. */
function socketFolder(folder: string, user: RunAs | undefined, isReachable: boolean): string {
  const inside = join(folder, 'run');
  // PostgreSQL reads a list, separated by commas, with quotes
  const isPlain = /^[\w\-./+=~@ ]+$/.test(inside) && !inside.startsWith('@');
  if (isPlain && isReachable && Buffer.byteLength(inside) <= longestSocketFolder) return makePrivate(inside, user);
  const name = `parley-${createHash('sha256').update(folder).digest('hex').slice(0, 16)}`;
  for (const base of new Set([tmpdir(), '/tmp'])) {
    const path = join(base, name);
    if (Buffer.byteLength(path) > longestSocketFolder || !/^[\w\-./]+$/.test(path)) continue;
    if (user !== undefined && !canReach(realpathSync(base), user)) continue;
    return makePrivate(path, user);
  }
  throw new EmbeddedError(
    `no place for the database's socket: ${inside} is too long or not plain, and so is ${tmpdir()}`,
  );
}

/** Makes a folder that nobody else can enter: whoever can enter it is trusted with the database. */
export function makePrivate(path: string, user: RunAs | undefined): string {
  mkdirSync(path, { recursive: true, mode: 0o700 });
  const stat = lstatSync(path);
  const uid = process.getuid!();
  if (!stat.isDirectory() || (stat.uid !== uid && stat.uid !== user?.uid)) {
    throw new EmbeddedError(`${path} belongs to somebody else: remove it`);
  }
  if ((stat.mode & 0o777) !== 0o700) chmodSync(path, 0o700);
  if (user !== undefined) own(path, user);
  return path;
}
