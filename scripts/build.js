// Compiles src/ to dist/. With --if-stale it does nothing when dist/ is newer than every source file.
// The new dist/ takes the old one's place when it is complete: servers may be running from it, and others be building at the same time.
import { spawnSync } from 'node:child_process';
import {
  accessSync,
  constants,
  cpSync,
  existsSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
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

/** Whether a folder has, somewhere below, files that are not compiled. */
function hasPages(folder) {
  return readdirSync(folder, { withFileTypes: true }).some((entry) =>
    entry.isDirectory() ? hasPages(join(folder, entry.name)) : !entry.name.endsWith('.ts'),
  );
}

function isFresh() {
  if (!existsSync(stamp)) return false;
  if (!existsSync(join(root, 'src'))) return true; // an installed package ships dist only
  return statSync(stamp).mtimeMs > newest(join(root, 'src'));
}

/** Puts a folder in the place of another one. */
function replace(fresh, place) {
  for (let attempt = 1; ; attempt++) {
    rmSync(place, { recursive: true, force: true });
    try {
      return renameSync(fresh, place);
    } catch (error) {
      if (attempt === 5) throw error; // somebody else's came in between
    }
  }
}

if (!(process.argv.includes('--if-stale') && isFresh())) {
  const compiler = join(root, 'node_modules', 'typescript', 'bin', 'tsc');
  if (!existsSync(compiler)) {
    console.error('parley: the TypeScript compiler is missing; run "npm install" (without --omit=dev) and try again');
    process.exit(1);
  }
  try {
    accessSync(root, constants.W_OK);
  } catch {
    console.error(
      `parley: it has to be built, but this user may not write to ${root}; run "npm run build" there as its owner`,
    );
    process.exit(1);
  }
  const began = new Date();
  const fresh = join(root, `.dist-${process.pid}`);
  const result = spawnSync(process.execPath, [compiler, '-p', join(root, 'tsconfig.build.json'), '--outDir', fresh], {
    stdio: 'inherit',
    cwd: root,
  });
  if (result.status !== 0) {
    rmSync(fresh, { recursive: true, force: true });
    process.exit(result.status ?? 1);
  }
  // what browsers are given goes along as it is
  cpSync(join(root, 'src'), fresh, {
    recursive: true,
    filter: (path) => !path.endsWith('.ts') && (!statSync(path).isDirectory() || hasPages(path)),
  });
  writeFileSync(join(fresh, '.built'), '');
  utimesSync(join(fresh, '.built'), began, began); // what was saved meanwhile is newer
  replace(fresh, join(root, 'dist'));
}
