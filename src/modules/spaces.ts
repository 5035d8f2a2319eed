// XEP-0503: Server-side Spaces: rooms and other things that belong together are the items of a node. What that asks of a service: how such nodes are
// set up, and that they stay so. Everything else is between clients, and what every node does.
//
// - 4.6 SHOULD: rooms do not tell which space they belong to.
import { defineModule, on } from '../core/module.ts';
import { StanzaError } from '../xmpp/errors.ts';
import { NS } from '../xmpp/ns.ts';
import type { NodeConfig } from './pubsub/config.ts';
import { nodeConfiguring, nodeCreating, nodeDefaults } from './pubsub/hooks.ts';

/** Section 3; `purge_offline` there is in no node. */
const space: Partial<NodeConfig> = {
  type: NS.spaces,
  isPersistent: true,
  maxItems: 'max',
  notifiesRetract: true,
  notifiesSubscriptions: true,
  notifiesConfig: true,
  notifiesDelete: true,
  publishModel: 'publishers',
};

export default defineModule({
  xeps: ['XEP-0503 0.3.0'],
  summary: 'Nodes that group rooms and other things, set up as clients of spaces need them',
  hosts: ['users', 'pubsub'],

  setup: () => ({
    handlers: [
      on(nodeDefaults, (event) => {
        if (event.type !== NS.spaces) return;
        const { accessModel } = event.config;
        // "authorize or whitelist" where it is not for everybody
        event.config = { ...event.config, ...space, accessModel: accessModel === 'open' ? 'open' : 'whitelist' };
      }),
      on(nodeCreating, { phase: 'check' }, ({ config }) => check(config)),
      on(nodeConfiguring, { phase: 'check' }, ({ config }) => check(config)),
    ],
  }),
});

/** The MUSTs of section 3. */
function check({ type, isPersistent, notifiesRetract, accessModel }: NodeConfig): StanzaError | undefined {
  if (type !== NS.spaces) return undefined;
  if (!isPersistent) return refused('"pubsub#persist_items" is true at a space');
  if (!notifiesRetract) return refused('"pubsub#notify_retract" is true at a space');
  if (accessModel !== 'open' && accessModel !== 'authorize' && accessModel !== 'whitelist') {
    return refused('"pubsub#access_model" is "open", "authorize" or "whitelist" at a space');
  }
  return undefined;
}

const refused = (text: string): StanzaError => new StanzaError('not-acceptable', text);
