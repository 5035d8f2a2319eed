// XEP-0227: Portable Import/Export Format for XMPP-IM Servers, for the accounts of a host. What the parts of a file are is said by the modules that keep
// them (`portion` in what they return); files, and what lies around accounts in them, are in composition/transfer.ts.
//
// - 4.2: no passwords are written. One that is in a file is hashed when it is read.
// - 4.8: of privacy lists (XEP-0016), which are not offered, the blocked addresses of the default one are taken.
// - Rooms and nodes of publish-subscribe beside accounts are out of the scope of the format.
// - Not in it: who is admin, tokens of clients, and what a client can find out again.
import type { Host } from '../../core/host.ts';
import { defineModule, provide } from '../../core/module.ts';
import type { Portion } from '../../core/portion.ts';
import { portability } from '../../core/transfer.ts';
import { el } from '../../xml/element.ts';
import { escapeAttr } from '../../xml/escape.ts';
import { Jid, prepareLocal } from '../../xmpp/jid.ts';
import { NS } from '../../xmpp/ns.ts';
import { credentialElements } from './credentials.ts';
import { UserReader } from './reader.ts';

export default defineModule({
  xeps: ['XEP-0227 1.1'],
  summary: 'Takes accounts with all they have out of the server, and into it',
  provides: [portability],
  setup: ({ host }) => ({
    handlers: [
      provide(portability, {
        async write(user, only) {
          const name = prepareLocal(user);
          return name !== undefined && (await host.accounts.exists(name)) ? write(host, name, only) : undefined;
        },
        read: (tag, isDry) => new UserReader(host, portionsOf(host, undefined), tag, isDry),
      }),
    ],
  }),
});

/** In the order of the modules' names, so that files can be compared. */
function portionsOf({ instances }: Host, only: ReadonlySet<string> | undefined): readonly Portion[] {
  const found = instances.flatMap(({ name, installed: { portion } }) =>
    portion === undefined || only?.has(name) === false ? [] : [{ name, portion }],
  );
  return found.sort((a, b) => (a.name < b.name ? -1 : 1)).map(({ portion }) => portion);
}

async function* write(
  host: Host,
  name: string,
  only: ReadonlySet<string> | undefined,
): AsyncGenerator<string, void, undefined> {
  yield `<user xmlns='${NS.pie}' name='${escapeAttr(name)}'>\n`;
  if (only === undefined) {
    const keys = (await host.accounts.credentialsOf(name)) ?? {};
    const facts = await host.accounts.facts(name);
    for (const element of credentialElements(keys)) yield `${element.toXml(NS.pie)}\n`;
    if (facts?.isDisabled) yield `${el('account', NS.exported, { disabled: 'true' }).toXml(NS.pie)}\n`;
  }
  const user = Jid.of(name, host.domain);
  for (const portion of portionsOf(host, only)) for await (const xml of portion.write(user)) yield `${xml}\n`;
  yield '</user>';
}
