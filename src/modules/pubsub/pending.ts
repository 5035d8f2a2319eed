// The command by which owners are asked again about all who wait for them to agree (XEP-0060 8.7, XEP-0050).
import { andThen, type MaybePromise } from '../../base/maybe.ts';
import type { Command } from '../../core/module.ts';
import { type Choice, type Field, type Form, formElement, readForm, textField } from '../../xmpp/dataform.ts';
import type { Jid } from '../../xmpp/jid.ts';
import { NS } from '../../xmpp/ns.ts';
import { pubsubError } from './errors.ts';
import type { Service } from './shelf.ts';

/** 8.7.2: one field, with the nodes that somebody owns. */
function formOf(nodes: readonly string[]): Form<{ 'pubsub#node': Field<string> }> {
  const choices: Choice[] = nodes.map((value) => ({ value }));
  return {
    formType: NS.pubsubAuthorization,
    fields: { 'pubsub#node': { ...textField('Node'), type: 'list-single', choices } },
  };
}

/** @param remind sends somebody the requests that wait at a node; throws a StanzaError where that is not for them */
export function pendingCommand(
  { ports }: Service,
  remind: (node: string, asker: Jid) => MaybePromise<unknown>,
): Command {
  return {
    target: 'host',
    node: NS.pubsubGetPending,
    name: 'Requests to subscribe that wait for you',
    mayRun: () => true,
    form: ({ iq }) =>
      andThen(ports.directory.of(iq.from.bare), (all) => {
        const owned = [...all].flatMap(([node, { affiliation }]) => (affiliation === 'owner' ? [node] : []));
        return formElement(formOf(owned.sort()));
      }),
    run({ iq }, submitted) {
      const node = submitted && readForm(formOf([]), submitted)['pubsub#node'];
      if (node === undefined || node === '') throw pubsubError('nodeid-required');
      return andThen(remind(node, iq.from), () => ({}));
    },
  };
}
