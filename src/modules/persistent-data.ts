// XEP-0222, XEP-0223: Persistent Storage of Public and of Private Data via PubSub. What a client keeps at nodes of its account, and how a node is for
// that it says itself by publish-options (modules/pep): here is what it looks for before it does.
//
// - 222/223 6: clients ask the domain. Those of today ask the account, which says the same (XEP-0163 6.1).
import { defineModule } from '../core/module.ts';
import { NS } from '../xmpp/ns.ts';
import { pep } from './pep/service.ts';

export default defineModule({
  xeps: ['XEP-0222 1.0', 'XEP-0223 1.1.1'],
  summary: 'Tells clients that they can keep data at nodes of their account, for all, for some, or for themselves',
  needs: [pep],
  setup: () => ({
    features: { server: [`${NS.pubsub}#publish-options`] },
    identities: { server: [{ category: 'pubsub', type: 'pep' }] },
  }),
});
