// The command line's end of the admin channel.
import { connect, type Socket } from 'node:net';
import { CommandError, type CommandErrorCode } from '../core/commands.ts';
import { type AdminRequest, type AdminResponse, LineReader } from './admin-socket.ts';

export interface AdminClient {
  /** Runs a command on the server. Rejects with CommandError. */
  run(command: string, args: object): Promise<object>;
  /** Resolves when the server has closed the connection. */
  readonly closed: Promise<void>;
  close(): void;
}

/**
 * Connects to the server of a socket; `undefined` when none is running. Rejects with CommandError when it may not.
 * Commands that wait fail when the server does not even answer nonsense within `silence` ms.
 */
export async function connectAdmin(path: string, silence: number = SILENCE): Promise<AdminClient | undefined> {
  const socket = connect(path);
  try {
    await new Promise<void>((done, failed) => {
      socket.once('connect', done);
      socket.once('error', failed);
    });
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ECONNREFUSED' || code === 'ENOTSOCK' || code === 'ENOTDIR') return undefined;
    const why =
      code === 'EACCES' ? 'only the user that runs the server, and root, may use it' : (code ?? String(error));
    throw new CommandError('refused', `${path} cannot be opened: ${why}`);
  }
  return clientOf(socket, path, silence);
}

/** A server that answers nothing for so long is frozen, or does not come to it. */
const SILENCE = 10_000;

/** Whether the server of a socket answers: at once what it cannot understand, however long its commands take. */
function answers(path: string, within: number): Promise<boolean> {
  return new Promise((done) => {
    const socket = connect(path, () => socket.write('?\n'));
    const end = (alive: boolean) => (): void => {
      clearTimeout(timer);
      socket.destroy();
      done(alive);
    };
    const timer = setTimeout(end(false), within);
    socket.once('data', end(true));
    // it is stopping: the connection of the command is closed, too
    socket.once('error', end(true));
    socket.once('close', end(true));
  });
}

function clientOf(socket: Socket, path: string, silence: number): AdminClient {
  const reader = new LineReader(Number.POSITIVE_INFINITY);
  const waiting = new Map<number, { done(result: object): void; failed(error: Error): void }>();
  let next = 1;
  const failAll = (message: string): void => {
    for (const { failed } of waiting.values()) failed(new CommandError('failed', message));
    waiting.clear();
  };
  const watch = setInterval(async () => {
    if (waiting.size === 0 || (await answers(path, silence))) return;
    failAll(
      `the server has not answered for ${Math.round(silence / 1000)} s: its process is frozen or very busy; see what it does, and end it with "kill -9" if it does not come back`,
    );
  }, silence).unref();
  const closed = new Promise<void>((done) => {
    socket.on('close', () => {
      clearInterval(watch);
      failAll('the server closed the connection before it answered');
      done();
    });
  });
  socket.on('error', () => {});
  socket.on('data', (chunk) => {
    for (const line of reader.push(chunk)) {
      const response = JSON.parse(line) as AdminResponse;
      if (response.id === null) {
        failAll(response.ok ? 'the server answered nothing that was asked' : response.error.message);
        continue;
      }
      const request = waiting.get(response.id);
      waiting.delete(response.id);
      if (response.ok) request?.done(response.result);
      else request?.failed(new CommandError(response.error.code as CommandErrorCode, response.error.message));
    }
  });
  return {
    closed,
    run: (command, args) =>
      new Promise((done, failed) => {
        if (socket.destroyed) return failed(new CommandError('failed', 'the server closed the connection'));
        const request: AdminRequest = { id: next++, command, args };
        waiting.set(request.id, { done, failed });
        socket.write(`${JSON.stringify(request)}\n`);
      }),
    close: () => socket.destroy(),
  };
}
