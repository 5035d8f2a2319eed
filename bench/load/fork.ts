// Forks a TypeScript file of the benchmark, whatever this process was itself started with (tsx, vitest).

import { type ChildProcess, fork } from 'node:child_process';
import { createRequire } from 'node:module';
import { fileURLToPath, pathToFileURL } from 'node:url';

/** Starts `script` as a process with a message channel to this one. */
export function forkScript(script: URL, args: readonly string[] = []): ChildProcess {
  const loader = pathToFileURL(createRequire(import.meta.url).resolve('tsx'));
  return fork(fileURLToPath(script), [...args], { execArgv: ['--import', loader.href] });
}
