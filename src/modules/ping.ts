// XEP-0199: Ping.
import { defineModule, type IqRequest, iqGet } from '../core/module.ts';
import { StanzaError } from '../xmpp/errors.ts';
import { NS } from '../xmpp/ns.ts';
import { roster as rosterService } from './roster/index.ts';

export default defineModule({
  xeps: ['XEP-0199 2.0.1'],
  summary: 'Answers pings, so that both ends know the connection is alive',
  hosts: ['users', 'rooms', 'pubsub', 'upload', 'proxy'],

  setup({ find }) {
    return {
      features: { server: [NS.ping], account: [NS.ping] },
      handlers: [
        iqGet(['host', 'self'], NS.ping, 'ping', () => {}),
        iqGet('account', NS.ping, 'ping', async ({ iq }: IqRequest) => {
          // strangers get what they get for an account that does not exist
          if ((await find(rosterService)?.canSee(iq.to, iq.from)) !== true)
            throw new StanzaError('service-unavailable');
        }),
      ],
    };
  },
});
