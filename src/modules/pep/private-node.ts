// Nodes that nobody but their account reads (XEP-0223): what is published there in the account's name relies on that, so they are nothing else.
import { on, type Registration } from '../../core/module.ts';
import { StanzaError } from '../../xmpp/errors.ts';
import type { NodeConfig } from '../pubsub/config.ts';
import { nodeConfiguring, nodeCreating, nodeDefaults } from '../pubsub/hooks.ts';

/** XEP-0223 2: "a node MUST be configured as follows". */
const secluded = { accessModel: 'whitelist', isPersistent: true } as const;

/** Handlers that make the nodes of that name private, and refuse to have them otherwise. */
export function privateNode(name: string, others: Partial<NodeConfig> = {}): Registration[] {
  const check = (config: NodeConfig): StanzaError | undefined => {
    const isSecluded = config.accessModel === secluded.accessModel && config.isPersistent;
    return isSecluded ? undefined : new StanzaError('not-acceptable', 'this node keeps what is for its owner alone');
  };
  return [
    on(nodeDefaults, (event) => {
      if (event.name === name) event.config = { ...event.config, ...others, ...secluded };
    }),
    on(nodeCreating, { phase: 'check' }, (event) => (event.name === name ? check(event.config) : undefined)),
    on(nodeConfiguring, { phase: 'check' }, ({ node, config }) => (node.name === name ? check(config) : undefined)),
  ];
}
