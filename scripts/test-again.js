// What failed in the last run of the tests, once more: file by file, with nothing else running. For machines that stand still for moments,
// which some tests of many processes do not outlive; what fails by itself fails here as well. Says what it is about to repeat.
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { relative } from 'node:path';

const report = 'coverage/last-run.json';
const most = 5;

let run;
try {
  run = JSON.parse(readFileSync(report, 'utf8'));
} catch {
  console.error(`there is no ${report}: the tests did not come to their end`);
  process.exit(1);
}
const failed = run.testResults.filter(({ status }) => status === 'failed').map(({ name }) => relative('.', name));
if (failed.length === 0 || failed.length > most) {
  console.error(
    failed.length === 0 ? 'no file failed, but the run did' : `${failed.length} files failed: that is no accident`,
  );
  process.exit(1);
}
console.log(`once more, with nothing else running: ${failed.join(', ')}`);
for (const file of failed) {
  const { status } = spawnSync('npx', ['vitest', 'run', '--no-file-parallelism', file], { stdio: 'inherit' });
  if (status !== 0) process.exit(1);
}
