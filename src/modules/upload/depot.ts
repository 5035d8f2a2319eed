// Where the bytes of files are: a folder, or storage that speaks S3.
import type { Readable } from 'node:stream';

/** There is no room for it, now. */
export class DepotFull extends Error {
  override readonly name = 'DepotFull';
}
/** What keeps the bytes does not answer, or is not what it should be. */
export class DepotUnavailable extends Error {
  override readonly name = 'DepotUnavailable';
}

/** Bytes of a file, the last one too. */
export interface ByteRange {
  readonly start: number;
  readonly end: number;
}

/** Keys are ids: they may stand in paths as they are. */
export interface Depot {
  /**
   * Keeps what comes, exactly so many bytes; when it resolves, it is there for good. When it rejects, nothing is left.
   * @throws DepotFull, DepotUnavailable, and what `body` throws
   */
  put(key: string, body: AsyncIterable<Uint8Array>, size: number): Promise<void>;
  /** @throws DepotUnavailable; undefined where there is nothing of that name */
  open(key: string, size: number, range: ByteRange): Promise<Readable | undefined>;
  /** Also where there is nothing of that name. @throws DepotUnavailable */
  remove(key: string): Promise<void>;
  /** Whether so much more can be kept. */
  hasRoom(size: number): Promise<boolean>;
  /** Removes what uploads left that were cut short, and files that nobody knows of; returns how many there were. */
  tidy(isKnown: (key: string) => Promise<boolean>, goesOn: () => boolean): Promise<number>;
}
