// What the command line reads and writes, so that tests can stand in for a terminal.
import { CommandError } from '../core/commands.ts';

export interface Io {
  out(text: string): void;
  error(text: string): void;
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly folder: string;
  readonly stdin: NodeJS.ReadStream;
  /** Somebody looks at what is written, and it may be drawn. */
  readonly isTerminal: boolean;
}

/** Those of the process. */
export function processIo(): Io {
  return {
    out: (text) => void process.stdout.write(`${text}\n`),
    error: (text) => void process.stderr.write(`${text}\n`),
    environment: process.env,
    folder: process.cwd(),
    stdin: process.stdin,
    isTerminal: process.stdout.isTTY === true && process.env.TERM !== 'dumb',
  };
}

/** The first line of standard input, without its end. */
export async function readLine(stdin: NodeJS.ReadableStream): Promise<string> {
  const parts: Buffer[] = [];
  for await (const part of stdin) {
    const chunk = Buffer.from(part as Uint8Array | string);
    const end = chunk.indexOf(10);
    parts.push(end === -1 ? chunk : chunk.subarray(0, end));
    if (end !== -1) break;
  }
  return Buffer.concat(parts).toString('utf8').replace(/\r$/, '');
}

/** Asks on the terminal, without showing what is typed. Rejects with CommandError when it is broken off. */
function askHidden(question: string, io: Io): Promise<string> {
  const { stdin } = io;
  process.stderr.write(question);
  return new Promise((done, failed) => {
    let typed = '';
    const end = (error?: Error): void => {
      stdin.off('data', onData);
      stdin.setRawMode(false);
      stdin.pause();
      process.stderr.write('\n');
      if (error) failed(error);
      else done(typed);
    };
    const onData = (chunk: string): void => {
      for (const char of chunk) {
        const isEnd = char === '\r' || char === '\n';
        const isBreak = char === '\u0003' || char === '\u0004';
        if (isEnd || isBreak) {
          end(isBreak ? new CommandError('refused', 'broken off') : undefined);
          return;
        }
        if (char === '\u007f' || char === '\b') typed = [...typed].slice(0, -1).join('');
        else if (char === '\u0015') typed = '';
        else if (char >= ' ') typed += char;
      }
    };
    stdin.setEncoding('utf8');
    stdin.setRawMode(true);
    stdin.resume();
    stdin.on('data', onData);
  });
}

/** A new password: asked for twice on a terminal. */
export async function askPassword(jid: string, io: Io): Promise<string> {
  const first = await askHidden(`Password for ${jid}: `, io);
  if (first === '') throw new CommandError('refused', 'no password was typed');
  if ((await askHidden('Once more: ', io)) !== first) throw new CommandError('refused', 'the two are not the same');
  return first;
}
