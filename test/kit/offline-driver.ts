// A database in memory whose store of messages for people who are away does some things in another way.
import type { Clock } from '../../src/base/clock.ts';
import { createMemoryDriver } from '../../src/storage/memory.ts';
import type { Driver, LogStore } from '../../src/storage/ports.ts';

type Messages = LogStore<unknown, never>;

export function offlineDriver(clock: Clock, otherwise: (messages: Messages) => Partial<Messages>): Driver {
  const memory = createMemoryDriver(clock);
  return {
    ...memory,
    async open(host, module, specs) {
      const opened = await memory.open(host, module, specs);
      if (module !== 'offline') return opened;
      const messages = opened.messages as Messages;
      return { ...opened, messages: { ...messages, ...otherwise(messages) } };
    },
  };
}
