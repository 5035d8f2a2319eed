// Whether all nodes of a cluster keep files in the same folder. A file beside them says which one it is; the database says which one it should be.
import { randomBytes } from 'node:crypto';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Clock } from '../../base/clock.ts';
import { pause } from '../../base/clock.ts';
import type { KvStore } from '../../storage/ports.ts';

const MARK = '.parley-uploads';
/** Of another node that has just begun to use the folder; milliseconds. */
const PATIENCE = 2_000;

export interface SamenessParts {
  readonly folder: string;
  /** What the database says, under `folder`. */
  readonly marks: KvStore<string>;
  /** Whether other nodes are there. */
  readonly hasOthers: () => boolean;
  readonly clock: Clock;
  readonly signal: AbortSignal;
}

/**
 * Whether the folder is the one that the others use. A server that is one node takes what it is given: a new disk, or a copy. What lies there may then be
 * another database's (this one may be a backup, or the wrong one): `adopted` is set, and nothing unknown is to be removed.
 */
export async function isSameFolder({ folder, marks, hasOthers, clock, signal }: SamenessParts): Promise<boolean> {
  const file = join(folder, MARK);
  const read = async (): Promise<string | undefined> => {
    const text = await readFile(file, 'utf8').catch(() => undefined);
    return text?.trim() || undefined;
  };
  const own = randomBytes(12).toString('base64url');
  const here = await read();
  const before = await marks.get('folder');
  const known = await marks.update('folder', (old) => old ?? here ?? own);
  if (here !== undefined && here !== before && (here === known || !hasOthers())) await marks.set('adopted', here);
  if (here === known) return true;
  if (here === undefined && known !== own && hasOthers()) {
    // whoever was first writes it now
    await pause(clock, PATIENCE, signal);
    return (await read()) === known;
  }
  if (here !== undefined && hasOthers()) return false;
  if (here === undefined) {
    await mkdir(folder, { recursive: true, mode: 0o700 });
    await writeFile(file, `${known}\n`, { mode: 0o600 });
  } else await marks.set('folder', here);
  return true;
}
