import { defineConfig } from 'vitest/config';
import { BaseSequencer, type TestSpecification } from 'vitest/node';

/** What takes longest, mostly by waiting for processes of others, is begun first, so that in the end nobody waits for it alone. */
const longest = [
  'faults/cluster-death',
  'scenarios-redis',
  'e2e/cluster',
  'e2e/federation',
  'contract/storage-embedded',
  'scenarios',
  'faults/chaos/chaos',
  'faults/cluster-redis',
  'scenarios-federated',
  'faults/owners',
  'e2e/cluster-start',
  'contract/storage-faults',
  'unit/cli/program',
  'unit/bench/profiles',
].map((name) => `/test/${name}.test.ts`);

class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const place = ({ moduleId }: TestSpecification): number => {
      const at = longest.findIndex((name) => moduleId.endsWith(name));
      return at < 0 ? longest.length : at;
    };
    return (await super.sort(files)).sort((a, b) => place(a) - place(b));
  }
}

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    testTimeout: 20_000,
    hookTimeout: 60_000,
    // busy machines are slow, and whoever polls does not wait longer than needed
    expect: { poll: { timeout: 10_000 } },
    // two cores, and somebody always waits: more workers than that only make timings worse
    maxWorkers: 3,
    // whoever plays at the same time as others mostly waits until its nodes have heard of each other
    maxConcurrency: 12,
    pool: 'forks',
    // to start a process and read all of the server takes longer than most files do: files share their worker's, and what a file
    // changes of it (the environment, spies) it changes back
    isolate: false,
    sequence: { sequencer: LongestFirst },
    // CI's machines stand still for moments that no bound of time allows for: what fails there is tried again, and told as such
    retry: process.env.CI === undefined ? 0 : 2,
    reporters:
      process.env.CI === undefined ? ['default'] : ['default', ['json', { outputFile: 'coverage/last-run.json' }]],
    // with -t, hundreds of others are skipped
    hideSkippedTests: true,
  },
});
