// XEP-0384: OMEMO Encryption, and what it was before (`eu.siacs.conversations.axolotl`): the nodes with which devices make themselves known. Anybody
// may read them who wants to write to the account (5.3.1, 5.3.2 "REQUIRED"), strangers and people in rooms too; nothing of the rest is a server's affair.
import { defineModule, on } from '../core/module.ts';
import { NS } from '../xmpp/ns.ts';
import { pep } from './pep/service.ts';
import type { NodeConfig } from './pubsub/config.ts';
import { nodeDefaults } from './pubsub/hooks.ts';

export default defineModule({
  xeps: ['XEP-0384 0.9.1'],
  summary: 'Keeps the keys of devices for end-to-end encryption, for anybody to read',
  needs: [pep],

  setup: () => ({
    handlers: [
      on(nodeDefaults, (event) => {
        const config = configOf(event.name);
        if (config !== undefined) event.config = { ...event.config, ...config };
      }),
    ],
  }),
});

/** What nodes with keys are beside what all nodes of accounts are; undefined for others. */
function configOf(name: string): Partial<NodeConfig> | undefined {
  switch (name) {
    case NS.omemoDevices:
    case NS.omemoSiacsDevices:
      return { accessModel: 'open' };
    case NS.omemoBundles:
      // an item for each device
      return { accessModel: 'open', maxItems: 'max', sendLast: 'never' };
    default:
      return name.startsWith(NS.omemoSiacsBundles) ? { accessModel: 'open', sendLast: 'never' } : undefined;
  }
}
