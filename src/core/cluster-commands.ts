// The administrative commands for the nodes of a cluster.
import { z } from 'zod';
import { since, table, time } from './admin-common.ts';
import { defineCommand, type NodeInfo } from './commands.ts';

const clusterStatus = defineCommand({
  name: 'cluster status',
  readOnly: true,
  summary: 'Show the nodes of the cluster, and how Redis is; exit 1 when something is wrong',
  args: z.strictObject({}),
  async run(context) {
    const { redis, nodes } = await context.cluster();
    const now = Date.now();
    return {
      ok: (redis === undefined || redis.ok) && nodes.every(({ silent }) => silent !== true),
      // null: there is one node, and it needs none
      redis: redis ?? null,
      nodes: nodes.map(({ started, ...node }) => ({
        ...node,
        started: time(started),
        uptime: Math.max(0, Math.round((now - started) / 1000)),
      })),
    };
  },
  render: ({ redis, nodes }) =>
    [
      redis === null
        ? 'redis  none: one node'
        : redis.ok
          ? `redis  ${redis.version ?? 'answers'}, ${redis.latency} ms`
          : `redis  FAILS: ${redis.problem}`,
      '',
      table(
        ['NODE', 'VERSION', 'UP', 'SESSIONS', 'INBOX', 'LAG', 'OWNS', 'MOVED', 'REBUILT', 'STATE'],
        nodes.map((node) => [
          `${node.name}${node.self ? ' *' : ''}`,
          node.version,
          since(node.uptime * 1000),
          String(node.sessions),
          String(node.inbox),
          `${Math.round(node.lag)} ms`,
          String(node.owned),
          String(node.moved),
          String(node.rebuilt),
          `${stateOf(node)}${node.differs ? ', OTHER SETTINGS' : ''}`,
        ]),
      ),
      ...(nodes.some(({ differs }) => differs)
        ? [
            '',
            'OTHER SETTINGS: hosts or components differ from those of *; correct one file, and "parley reload" there',
          ]
        : []),
    ].join('\n'),
});

function stateOf({
  silent,
  starting,
  unknown,
  draining,
}: Pick<NodeInfo, 'silent' | 'starting' | 'unknown' | 'draining'>): string {
  if (unknown) return 'not known: Redis fails';
  if (silent) return 'DOES NOT ANSWER';
  if (starting) return 'starting';
  return draining ? 'draining' : 'serving';
}

const drain = defineCommand({
  name: 'drain',
  summary: 'Let nobody new in on a node and move its people to others; "off" undoes it',
  args: z.strictObject({
    state: z.enum(['on', 'off']).optional().describe('on, unless given'),
    node: z.string().optional().describe('The node; those of this machine unless given'),
  }),
  async run(context, { state = 'on', node }) {
    return { nodes: [await context.drain(node, state === 'on')] };
  },
  render: ({ nodes }) =>
    nodes
      .map(({ node, draining, sessions }) =>
        draining
          ? `${node} drains; ${sessions === 0 ? 'nobody is left on it' : `${sessions} sessions are left on it`}`
          : `${node} serves again`,
      )
      .join('\n'),
});

const restart = defineCommand({
  name: 'restart',
  summary: 'Replace the nodes of this machine one after another, without a break',
  args: z.strictObject({}),
  run: (context) => context.restart(),
  render: ({ replaced }) => replaced.map(({ node, by }) => `${node} was replaced by ${by}`).join('\n'),
});

export const clusterCommands = [clusterStatus, drain, restart] as const;
