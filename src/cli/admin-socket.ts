// The admin channel: where its socket is, and the form of what passes through it. Newline-delimited JSON both ways:
// { id, command, args } is answered by { id, ok: true, result } or { id, ok: false, error: { code, message } }.
import { createHash } from 'node:crypto';
import { tmpdir, userInfo } from 'node:os';
import { join, resolve } from 'node:path';

/** A Unix socket's path has 108 bytes with the closing zero, 104 on macOS and the BSDs (sun_path). */
const PATH_LIMIT = process.platform === 'linux' ? 107 : 103;

/** Where the admin socket of a data folder is: in it, or where its path would be too long, in the user's run-time folder. */
export function adminSocketPath(
  dataFolder: string,
  environment: Readonly<Record<string, string | undefined>> = process.env,
): string {
  const folder = resolve(dataFolder);
  const direct = join(folder, 'admin.sock');
  if (Buffer.byteLength(direct) <= PATH_LIMIT) return direct;
  const name = createHash('sha256').update(folder).digest('hex').slice(0, 24);
  const runtime = environment.XDG_RUNTIME_DIR;
  const near = runtime ? join(runtime, `parley-${name}.sock`) : undefined;
  if (near !== undefined && Buffer.byteLength(near) <= PATH_LIMIT) return near;
  // the folder of temporary files is everybody's: the user's number keeps names apart, the mode of the socket others out
  return join(tmpdir(), `parley-${userInfo().uid}-${name}.sock`);
}

export interface AdminRequest {
  readonly id: number;
  readonly command: string;
  readonly args: unknown;
}
export type AdminResponse =
  | { readonly id: number | null; readonly ok: true; readonly result: object }
  | {
      readonly id: number | null;
      readonly ok: false;
      readonly error: { readonly code: string; readonly message: string };
    };

/** The longest line either side reads, in bytes. */
export const LINE_LIMIT = 4 * 1024 * 1024;

/** Cuts a stream of bytes into lines. */
export class LineReader {
  private parts: Buffer[] = [];
  private size = 0;
  private readonly limit: number;

  constructor(limit = LINE_LIMIT) {
    this.limit = limit;
  }

  /** The lines that are complete now; throws RangeError when one grows beyond the limit. */
  push(chunk: Buffer): string[] {
    const lines: string[] = [];
    let from = 0;
    for (let end = chunk.indexOf(10); end !== -1; end = chunk.indexOf(10, from)) {
      this.keep(chunk.subarray(from, end));
      lines.push(Buffer.concat(this.parts).toString('utf8'));
      this.parts = [];
      this.size = 0;
      from = end + 1;
    }
    if (from < chunk.length) this.keep(chunk.subarray(from));
    return lines;
  }

  private keep(part: Buffer): void {
    this.size += part.length;
    if (this.size > this.limit) throw new RangeError('the line is too long');
    this.parts.push(part);
  }
}
