// `parley start`: the server in the foreground, from its first screen to its orderly end.
import { accessSync, constants, mkdirSync, statSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { dirname } from 'node:path';
import { ConfigError, formatProblem } from '../config/problems.ts';
import type { Config } from '../config/server.ts';
import { createLog } from '../core/log.ts';
import { AlreadyRunningError } from './admin-server.ts';
import { banner, type StartFacts } from './banner.ts';
import type { Io } from './io.ts';
import { Running } from './running.ts';
import { readWhole } from './settings.ts';

/** Runs a server until it is told to stop; resolves with the exit code. */
export async function start(load: () => Config, configOption: string | undefined, io: Io): Promise<number> {
  const config = await readWhole(load);
  const log = createLog({ ...config.log });
  const problem = dataProblem(config.data);
  if (problem !== undefined) {
    io.error(`parley: ${problem}`);
    return 1;
  }
  const processes = countProcesses(config);
  // whoever runs one process needs nothing of this
  const { Primary } = processes === 1 ? {} : await import('./primary.ts');
  const running = Primary ? new Primary(config, load, log, processes) : new Running(config, load, log);
  let facts: StartFacts;
  try {
    facts = await running.begin();
  } catch (error) {
    log.flush();
    io.error(error instanceof ConfigError ? error.message : `parley: ${startProblem(error, config)}`);
    return error instanceof ConfigError ? 2 : 1;
  }
  io.out(banner(facts, { config, configOption, processes, isTerminal: io.isTerminal }));
  for (const warning of config.source.warnings) log.warn({}, formatProblem(warning));
  const code = await running.ended;
  log.flush();
  return code;
}

/** How many nodes there are to be on this machine. */
export function countProcesses({ cluster }: Config): number {
  return cluster.processes === 'auto' ? availableParallelism() : cluster.processes;
}

/** Folder by folder: Node's own `recursive` never ends where an existing folder says that there is none (/proc). */
function makeFolder(folder: string): void {
  if (statSync(folder, { throwIfNoEntry: false })?.isDirectory() === true) return;
  if (dirname(folder) !== folder) makeFolder(dirname(folder));
  mkdirSync(folder, { mode: 0o700 });
}

/** Why the data folder will not do. */
export function dataProblem(folder: string): string | undefined {
  try {
    makeFolder(folder);
    accessSync(folder, constants.R_OK | constants.W_OK | constants.X_OK);
    return undefined;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    const why =
      code === 'EACCES' || code === 'EPERM'
        ? 'this user may not write there'
        : code === 'EROFS'
          ? 'the file system is read-only'
          : code === 'EEXIST' || code === 'ENOTDIR'
            ? 'a file is in the way'
            : `it cannot be used (${code})`;
    return `data folder ${folder}: ${why}. Correct its rights, or choose another one with "data" or PARLEY_DATA`;
  }
}

function startProblem(error: unknown, config: Config): string {
  if (error instanceof AlreadyRunningError) {
    return `${error.message}. Stop it with "parley stop", or choose another "data" folder (this one is ${config.data})`;
  }
  return error instanceof Error ? error.message : String(error);
}
