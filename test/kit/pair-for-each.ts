// Two nodes for each test of a file, with accounts for Romeo and Juliet at `verona.test`.
import { afterEach, beforeEach, expect } from 'vitest';
import type { Directory } from '../../src/cluster/cluster.ts';
import type { StreamClient } from './client.ts';
import { logIn } from './login.ts';
import { type GroupOptions, NodeGroup } from './node-group.ts';

const domain = 'verona.test';

export interface Pair {
  /** That of the first node. */
  readonly directory: Directory;
  readonly group: NodeGroup;
  enter(node: 0 | 1, user: string, resource: string): Promise<StreamClient>;
  /** Resolves when everything that is under way has arrived; never, where something goes round in circles. */
  settle(): Promise<void>;
}

/** Called at the top of a file. No node may log an error. */
export function pairForEach(options: GroupOptions = {}): Pair {
  let group: NodeGroup;
  const clients: StreamClient[] = [];
  beforeEach(async () => {
    group = await NodeGroup.start({ hosts: { [domain]: {} } }, options);
    const [first] = group.nodes;
    for (const user of ['romeo', 'juliet']) await first!.server.server.accounts.create(`${user}@${domain}`, 'secret');
  });
  afterEach(async () => {
    for (const client of clients.splice(0)) await client.destroy();
    await group.stop();
    expect(group.errors).toEqual([]);
  });
  return {
    get group() {
      return group;
    },
    get directory() {
      return group.bus.clusters[0]!.directory;
    },
    async enter(node, user, resource) {
      const { client } = await logIn(group.nodes[node]!.server.c2s, { domain, user, password: 'secret', resource });
      clients.push(client);
      return client;
    },
    async settle() {
      for (let i = 0; i < 3; i++) {
        for (const client of clients) if (!client.isClosed) await client.fence();
        await group.settle();
      }
    },
  };
}

/** How many messages a client has heard and not read. */
export const messagesAt = ({ inbox }: StreamClient): number =>
  inbox.filter((item) => item.kind === 'element' && item.element.name === 'message').length;
