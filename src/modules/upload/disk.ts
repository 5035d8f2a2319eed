// Files in a folder. What comes is written beside, synced, and renamed into its place, so that what is there is there whole. A file is
// known in the database before it is there, and forgotten after it is gone (shelf.ts).
import { randomBytes } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { type FileHandle, mkdir, open, readdir, rename, stat, statfs, unlink } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Readable } from 'node:stream';
import type { Clock } from '../../base/clock.ts';
import { type ByteRange, type Depot, DepotFull, DepotUnavailable } from './depot.ts';

/** Where what is still coming is. */
const PARTS = 'incoming';
/** What is that old, and neither known nor being written, is nobody's; milliseconds. An upload ends long before. */
const ORPHANED = 24 * 3_600_000;
/** How much is read at a time. */
const CHUNK = 256 * 1024;
const FULL = new Set(['ENOSPC', 'EDQUOT']);

export interface DiskOptions {
  /** Made when the first file comes. */
  readonly folder: string;
  /** Bytes that have to be left. */
  readonly keepFree: number;
  readonly clock: Pick<Clock, 'now'>;
}

export class Disk implements Depot {
  private readonly options: DiskOptions;

  constructor(options: DiskOptions) {
    this.options = options;
  }

  async put(key: string, body: AsyncIterable<Uint8Array>, size: number): Promise<void> {
    const parts = join(this.options.folder, PARTS);
    const part = join(parts, `${key}.${randomBytes(9).toString('hex')}`);
    const place = this.placeOf(key);
    try {
      await mkdir(parts, { recursive: true, mode: 0o700 });
      if ((await mkdir(place.folder, { recursive: true, mode: 0o700 })) !== undefined) await sync(this.options.folder);
      await write(part, body, size);
      await rename(part, place.file);
      await sync(place.folder);
    } catch (error) {
      await unlink(part).catch(() => {});
      throw told(error);
    }
  }

  async open(key: string, _size: number, range: ByteRange): Promise<Readable | undefined> {
    let handle: FileHandle;
    try {
      handle = await open(this.placeOf(key).file, 'r');
    } catch (error) {
      if (codeOf(error) === 'ENOENT') return undefined;
      throw told(error);
    }
    return createReadStream('', { fd: handle, ...range, highWaterMark: CHUNK });
  }

  async remove(key: string): Promise<void> {
    try {
      await unlink(this.placeOf(key).file);
    } catch (error) {
      if (codeOf(error) !== 'ENOENT') throw told(error);
    }
  }

  async hasRoom(size: number): Promise<boolean> {
    const { keepFree } = this.options;
    if (keepFree === 0) return true;
    try {
      const { bavail, bsize } = await statfs(await existing(this.options.folder));
      return bavail * bsize - size >= keepFree;
    } catch (error) {
      throw told(error);
    }
  }

  async tidy(isKnown: (key: string) => Promise<boolean>, goesOn: () => boolean): Promise<number> {
    const old = this.options.clock.now() - ORPHANED;
    let gone = 0;
    for (const folder of await list(this.options.folder)) {
      if (folder !== PARTS && !/^[\w-]{2}$/.test(folder)) continue;
      for (const name of await list(join(this.options.folder, folder))) {
        if (!goesOn()) return gone;
        const file = join(this.options.folder, folder, name);
        const found = await stat(file).catch(() => undefined);
        if (found === undefined || !found.isFile() || found.mtimeMs > old) continue;
        if (folder !== PARTS && (await isKnown(name))) continue;
        await unlink(file).catch(() => {});
        gone++;
      }
    }
    return gone;
  }

  /** Many folders, so that none is large. */
  private placeOf(key: string): { readonly folder: string; readonly file: string } {
    const folder = join(this.options.folder, key.slice(0, 2));
    return { folder, file: join(folder, key) };
  }
}

/** On disk when it resolves. @throws what the body throws, and Error where it is shorter or longer than it should be */
async function write(file: string, body: AsyncIterable<Uint8Array>, size: number): Promise<void> {
  const handle = await open(file, 'wx', 0o600);
  try {
    let length = 0;
    for await (const chunk of body) {
      length += chunk.length;
      if (length > size) break;
      for (let at = 0; at < chunk.length; ) at += (await handle.write(chunk, at)).bytesWritten;
    }
    if (length !== size) throw new Error(`${length} bytes came, and not ${size}`);
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** A new name in a folder is there for good when the folder is. (Windows knows no such thing.) */
async function sync(folder: string): Promise<void> {
  if (process.platform === 'win32') return;
  const handle = await open(folder, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** The folder, or where it is going to be made. */
async function existing(folder: string): Promise<string> {
  const above = dirname(folder);
  const isThere = await stat(folder).catch(() => undefined);
  return isThere !== undefined || above === folder ? folder : existing(above);
}

async function list(folder: string): Promise<string[]> {
  try {
    return await readdir(folder);
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return [];
    throw told(error);
  }
}

const codeOf = (error: unknown): string | undefined => (error as NodeJS.ErrnoException | undefined)?.code;

/** Errors of the system, by what they mean; others as they are. */
function told(error: unknown): unknown {
  const { code, syscall, message } = error as NodeJS.ErrnoException;
  if (code === undefined || syscall === undefined || syscall === 'read') return error;
  return FULL.has(code)
    ? new DepotFull('the disk is full', { cause: error })
    : new DepotUnavailable(`the folder for files cannot be used (${message})`, { cause: error });
}
