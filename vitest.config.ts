import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    testTimeout: 20_000,
    hookTimeout: 60_000,
    // busy machines are slow, and whoever polls does not wait longer than needed
    expect: { poll: { timeout: 10_000 } },
    // two cores: more workers than that only make timings worse
    maxWorkers: 2,
    pool: 'forks',
    reporters: ['default'],
    // with -t, hundreds of others are skipped
    hideSkippedTests: true,
  },
});
