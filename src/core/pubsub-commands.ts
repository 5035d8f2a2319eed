// The administrative commands for nodes of publish-subscribe (XEP-0060).
import { z } from 'zod';
import { table, time } from './admin-common.ts';
import { type AdminContext, type AdminNodes, CommandError, defineCommand } from './commands.ts';

const service = z.string().describe('The domain it is at, such as pubsub.example.org');
const node = z.string().describe('The name of the node');

/** @throws CommandError `not-found` for a domain that has no nodes, `refused` for what the node refuses */
async function withNodes<T>(
  context: AdminContext,
  domain: string,
  work: (nodes: AdminNodes) => Promise<T>,
): Promise<T> {
  const nodes = await context.nodesOf(domain);
  if (nodes === undefined) {
    const known = context.pubsub.length === 0 ? 'there are none' : `they are at ${context.pubsub.join(', ')}`;
    throw new CommandError('not-found', `there are no nodes at ${domain}; ${known}`);
  }
  try {
    return await work(nodes);
  } catch (error) {
    if (error instanceof Error && error.name === 'NodeRefusal') throw new CommandError('refused', error.message);
    throw error;
  }
}

const missing = (args: { readonly service: string; readonly node: string }): CommandError =>
  new CommandError('not-found', `there is no node ${args.node} at ${args.service}`);

const list = defineCommand({
  name: 'pubsub ls',
  readOnly: true,
  summary: 'List the nodes, with what they keep',
  args: z.strictObject({ service: z.string().optional().describe('The domain they are at; all, unless said') }),
  async run(context, args) {
    const domains = args.service === undefined ? context.pubsub : [args.service];
    const all = await Promise.all(domains.map((one) => withNodes(context, one, (nodes) => nodes.list())));
    return { nodes: all.flat().map((one) => ({ ...one, created: time(one.created) })) };
  },
  render: ({ nodes }) =>
    nodes.length === 0
      ? 'there are no nodes'
      : table(
          ['service', 'node', 'title', 'items', 'bytes', 'made by', 'made'],
          nodes.map((one) => [
            one.service,
            one.node,
            one.title,
            String(one.items),
            String(one.bytes),
            one.creator,
            one.created,
          ]),
        ),
});

const show = defineCommand({
  name: 'pubsub show',
  readOnly: true,
  summary: 'Show what a node is, and whose',
  args: z.strictObject({ service, node }),
  async run(context, args) {
    const found = await withNodes(context, args.service, (nodes) => nodes.show(args.node));
    if (found === undefined) throw missing(args);
    return found;
  },
  render: (found) =>
    table(
      ['node', found.node],
      [
        ['service', found.service],
        ['items', String(found.items)],
        ['bytes', String(found.bytes)],
        ['subscriptions', String(found.subscriptions)],
        ...Object.entries(found.affiliations).map(([jid, affiliation]) => [affiliation, jid]),
        ...Object.entries(found.settings).map(([name, values]) => [name, values.join(', ')]),
      ],
    ),
});

const remove = defineCommand({
  name: 'pubsub delete',
  summary: 'Remove a node, with all that is published there',
  args: z.strictObject({ service, node }),
  async run(context, args) {
    if (!(await withNodes(context, args.service, (nodes) => nodes.delete(args.node)))) throw missing(args);
    return args;
  },
  render: (result) => `${result.node} at ${result.service} is gone`,
});

export const pubsubCommands = [list, show, remove];
