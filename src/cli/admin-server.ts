// The server's end of the admin channel. Whoever may open the socket (mode 0600: the server's own user, and root) may do all.
import { chmodSync, lstatSync, unlinkSync } from 'node:fs';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { z } from 'zod';
import type { Logger } from '../base/log.ts';
import type { MaybePromise } from '../base/maybe.ts';
import { ConfigError } from '../config/problems.ts';
import { localCommands } from '../core/admin-commands.ts';
import { type AnyCommand, CommandError } from '../core/commands.ts';
import { type AdminResponse, adminSocketPath, LineReader } from './admin-socket.ts';

export interface AdminServerOptions {
  /** See adminSocketPath. */
  readonly path: string;
  readonly commands: readonly AnyCommand[];
  /** Does what a command says; throws CommandError, also as long as the server is not ready. */
  readonly run: (command: AnyCommand, args: unknown) => MaybePromise<object>;
  readonly log: Logger;
}
export interface AdminServer {
  /** Closes the socket and removes it; answers that are under way are still sent. */
  close(): Promise<void>;
}

/** Another server answers on the socket. */
export class AlreadyRunningError extends Error {
  override readonly name = 'AlreadyRunningError';
}

const requestSchema = z.object({ id: z.int(), command: z.string(), args: z.unknown() });

/** The channel of the server whose data is in a folder, for all commands. As {@link createAdminServer}. */
export function openAdminServer(data: string, log: Logger, run: AdminServerOptions['run']): Promise<AdminServer> {
  return createAdminServer({
    path: adminSocketPath(data),
    commands: localCommands,
    run,
    log: log.child({ part: 'admin' }),
  });
}

/** Begins to listen. Rejects with AlreadyRunningError when another server is there; what a killed one left is removed. */
export async function createAdminServer(options: AdminServerOptions): Promise<AdminServer> {
  const { path, log } = options;
  await removeStale(path);
  const commands = new Map(options.commands.map((command) => [command.name, command]));
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
    serve(socket, commands, options.run, log);
  });
  await listen(server, path);
  return {
    close: () =>
      new Promise((done) => {
        server.close(() => done());
        // an answer that is being written is finished; nothing more is read
        for (const socket of sockets) socket.end();
        const deadline = setTimeout(() => {
          for (const socket of sockets) socket.destroy();
        }, 500);
        server.once('close', () => clearTimeout(deadline));
      }),
  };
}

async function listen(server: Server, path: string): Promise<void> {
  // made with no rights for others from the start: between bind and chmod anybody could connect
  const mask = process.umask(0o177);
  try {
    await new Promise<void>((done, failed) => {
      server.once('error', (error: NodeJS.ErrnoException) => {
        failed(
          error.code === 'EADDRINUSE' ? new AlreadyRunningError(`another server has just started on ${path}`) : error,
        );
      });
      server.listen(path, done);
    });
    chmodSync(path, 0o600);
  } finally {
    process.umask(mask);
  }
}

/** Whether a server answers on a socket. */
function isAnswering(path: string): Promise<boolean> {
  return new Promise((done) => {
    const socket = connect(path);
    const end = (answers: boolean): void => {
      socket.destroy();
      done(answers);
    };
    socket.once('connect', () => end(true));
    // refused or not there: nobody listens. Anything else (no rights, queue full) may well be somebody
    socket.once('error', (error: NodeJS.ErrnoException) =>
      end(error.code !== 'ECONNREFUSED' && error.code !== 'ENOENT'),
    );
  });
}

async function removeStale(path: string): Promise<void> {
  const found = lstatSync(path, { throwIfNoEntry: false });
  if (!found) return;
  if (!found.isSocket()) throw new Error(`${path} is in the way: it is not a socket; move it away`);
  if (await isAnswering(path)) throw new AlreadyRunningError(`another server is running (it answers on ${path})`);
  unlinkSync(path);
}

function serve(
  socket: Socket,
  commands: ReadonlyMap<string, AnyCommand>,
  run: AdminServerOptions['run'],
  log: Logger,
): void {
  const reader = new LineReader();
  const answer = (response: AdminResponse): void => {
    if (socket.writable) socket.write(`${JSON.stringify(response)}\n`);
  };
  // one after another, in the order they came
  let last = Promise.resolve();
  socket.on('error', (error) => log.debug({ err: error }, 'an admin connection failed'));
  socket.on('data', (chunk) => {
    let lines: string[];
    try {
      lines = reader.push(chunk);
    } catch {
      answer({ id: null, ok: false, error: { code: 'bad-request', message: 'the request is too long' } });
      socket.end();
      socket.removeAllListeners('data');
      return;
    }
    for (const line of lines) last = last.then(async () => answer(await handle(line, commands, run, log)));
  });
}

async function handle(
  line: string,
  commands: ReadonlyMap<string, AnyCommand>,
  run: AdminServerOptions['run'],
  log: Logger,
): Promise<AdminResponse> {
  const refuse = (id: number | null, code: string, message: string): AdminResponse => ({
    id,
    ok: false,
    error: { code, message },
  });
  let given: unknown;
  try {
    given = JSON.parse(line);
  } catch {
    return refuse(null, 'bad-request', 'the request is not JSON');
  }
  const request = requestSchema.safeParse(given);
  if (!request.success)
    return refuse(null, 'bad-request', 'a request is { id: number, command: string, args: object }');
  const { id, command: name, args } = request.data;
  const command = commands.get(name);
  if (!command) return refuse(id, 'unknown-command', `there is no command "${name}"`);
  try {
    const result = await run(command, args);
    // what changes nothing is asked for every few seconds by whoever watches over the server
    log[command.readOnly === true ? 'debug' : 'info']({ command: name }, 'admin command');
    return { id, ok: true, result };
  } catch (error) {
    if (error instanceof CommandError) return refuse(id, error.code, error.message);
    if (error instanceof ConfigError) return refuse(id, 'refused', error.message);
    log.error({ err: error, command: name }, 'an admin command failed');
    return refuse(id, 'failed', error instanceof Error ? error.message : String(error));
  }
}
