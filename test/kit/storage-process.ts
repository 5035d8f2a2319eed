// A process that uses an embedded database, for tests that kill it: `storage-process.ts FOLDER`. Says each step as a JSON line:
// `ready`, `durable` with a number appended, `refused` with why it cannot start, `stopped`. Ends in order on SIGINT and SIGTERM.

import type { LogStore } from '../../src/storage/ports.ts';
import { createPostgresDriver } from '../../src/storage/postgres/driver.ts';
import { createEmbedded, EmbeddedError } from '../../src/storage/postgres/embedded.ts';
import { log, type Spec } from '../../src/storage/specs.ts';

const say = (line: object): void => void process.stdout.write(`${JSON.stringify(line)}\n`);
const logTo = (level: string) => (fields: object, message?: string) => say({ level, message, ...fields });
const logger = {
  debug() {},
  info: logTo('info'),
  warn: logTo('warn'),
  error: logTo('error'),
  child: () => logger,
};

async function main(dataFolder: string): Promise<void> {
  const embedded = await createEmbedded({ dataFolder, log: logger });
  const driver = createPostgresDriver({ connection: embedded.config, log: logger, onClose: () => embedded.stop() });
  const specs = { entries: log({ index: [] }) as Spec<unknown> };
  const { entries } = (await driver.open('h.test', 'm', specs)) as {
    entries: LogStore<number, Record<string, string>>;
  };
  const before = await entries.count('o', {});
  let next = before;
  const appending = setInterval(() => {
    const number = next++;
    void entries.append('o', number, {}).durable.then(() => say({ step: 'durable', number }));
  }, 3);
  const stop = (): void => {
    clearInterval(appending);
    void driver.close().then(() => say({ step: 'stopped', appended: next }));
  };
  // whoever hears that it is ready may end it at once
  process.once('SIGINT', stop).once('SIGTERM', stop);
  say({ step: 'ready', pid: embedded.pid, config: embedded.config, before });
}

main(process.argv[2]!).catch((error: unknown) => {
  say({ step: 'refused', isOurs: error instanceof EmbeddedError, why: (error as Error).message });
  process.exitCode = 1;
});
