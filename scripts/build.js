// Compiles src/ to dist/. With --if-stale it does nothing when dist/ is newer than every source file.
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const stamp = join(root, 'dist', '.built');

/** The latest modification time, in milliseconds, of the files below a folder. */
function newest(folder) {
  let latest = statSync(folder).mtimeMs;
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    latest = Math.max(latest, entry.isDirectory() ? newest(path) : statSync(path).mtimeMs);
  }
  return latest;
}

function isFresh() {
  if (!existsSync(stamp)) return false;
  if (!existsSync(join(root, 'src'))) return true; // an installed package ships dist only
  return statSync(stamp).mtimeMs > newest(join(root, 'src'));
}

if (!(process.argv.includes('--if-stale') && isFresh())) {
  const compiler = join(root, 'node_modules', 'typescript', 'bin', 'tsc');
  if (!existsSync(compiler)) {
    console.error('parley: the TypeScript compiler is missing; run "npm install" (without --omit=dev) and try again');
    process.exit(1);
  }
  rmSync(join(root, 'dist'), { recursive: true, force: true });
  const result = spawnSync(process.execPath, [compiler, '-p', join(root, 'tsconfig.build.json')], {
    stdio: 'inherit',
    cwd: root,
  });
  if (result.status !== 0) process.exit(result.status ?? 1);
  writeFileSync(stamp, '');
}
