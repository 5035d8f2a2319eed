// The embedded database's log file: kept small, also while the database runs and after it has outlived us.
import { closeSync, constants, fstatSync, ftruncateSync, openSync, readSync, writeSync } from 'node:fs';

const limit = 2 * 1024 * 1024;
const kept = 512 * 1024;
const interval = 10 * 60_000;

export interface LogFile {
  /** A descriptor to write to; the caller closes it. */
  open(): number;
  /** Moves most of it aside when it has grown beyond 2 MiB. */
  rotate(): void;
  /** The last lines, for an error message. */
  tail(): string;
  close(): void;
}

// the folder belongs to the database's user: follow no link of theirs
const open = (path: string, flags: number): number =>
  openSync(path, flags | constants.O_NOFOLLOW | constants.O_CREAT, 0o600);

export function createLogFile(path: string): LogFile {
  const end = (fd: number, bytes: number): string => {
    const { size } = fstatSync(fd);
    const buffer = Buffer.alloc(Math.min(size, bytes));
    readSync(fd, buffer, 0, buffer.length, size - buffer.length);
    return buffer.toString('utf8');
  };
  const rotate = (): void => {
    const fd = open(path, constants.O_RDWR);
    try {
      if (fstatSync(fd).size <= limit) return;
      const old = open(`${path}.1`, constants.O_WRONLY | constants.O_TRUNC);
      writeSync(old, end(fd, kept));
      closeSync(old);
      // the database appends: it goes on at the new beginning
      ftruncateSync(fd);
    } finally {
      closeSync(fd);
    }
  };
  const timer = setInterval(rotate, interval);
  timer.unref();
  return {
    open: () => open(path, constants.O_WRONLY | constants.O_APPEND),
    rotate,
    tail() {
      const fd = open(path, constants.O_RDONLY);
      try {
        const lines = end(fd, 2000).trim().split('\n').slice(-4);
        return `\n  ${lines.join('\n  ')}\n  (${path})`;
      } finally {
        closeSync(fd);
      }
    },
    close: () => clearInterval(timer),
  };
}
