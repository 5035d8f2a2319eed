#!/usr/bin/env node
// The command `parley`. Runs the compiled program; in a clone that was not built yet, builds it first.
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
if (major < 20 || (major === 20 && minor < 19)) {
  console.error(`parley: Node 20.19 or later is needed; this is ${process.version}`);
  process.exit(1);
}

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const main = join(root, 'dist', 'main.js');
if (!existsSync(main)) {
  // to standard error: standard output belongs to the command
  const built = spawnSync(process.execPath, [join(root, 'scripts', 'build.js')], {
    stdio: ['ignore', 2, 2],
    cwd: root,
  });
  if (built.status !== 0 || !existsSync(main)) {
    console.error(`parley: it could not be built. Run "npm install" in ${root}, and try again`);
    process.exit(1);
  }
}
await import(pathToFileURL(main).href);
