// What others may do with files: modules of the host above, and administrators.
import { defineService } from '../../core/module.ts';
import type { FileRow } from './shelf.ts';

export interface ListedFile extends FileRow {
  readonly id: string;
  /** Undefined where nothing listens for HTTP. */
  readonly url: string | undefined;
}

export interface Uploads {
  /** The files of somebody that are there, the oldest first. */
  list(user: string): Promise<readonly ListedFile[]>;
  /** Everybody who may have files. */
  people(): AsyncIterable<string>;
  /** Whose a file is, by its id or its address; undefined where there is none. */
  ownerOf(what: string): Promise<{ readonly user: string; readonly id: string } | undefined>;
  /** Deletes one; false where it was not there. */
  remove(user: string, id: string): Promise<boolean>;
  /** Somebody's message speaks of files: whichever of theirs it has addresses of. @param message tells it from others of theirs */
  mentioned(by: string, text: string, message: string): Promise<void>;
  /** Such a message was taken back: what no other one speaks of is deleted. */
  withdrawn(by: string, text: string, message: string): Promise<void>;
}
export const uploads = defineService<Uploads>('upload');
