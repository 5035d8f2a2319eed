// XEP-0049: Private XML Storage. One element of each namespace and name, for the account itself only.
import { z } from 'zod';
import { gate } from '../core/hooks.ts';
import { defineModule, type IqRequest, iqGet, iqSet } from '../core/module.ts';
import { map } from '../storage/specs.ts';
import { parseElement } from '../xml/document.ts';
import { Element, el, type Node, type RawXml } from '../xml/element.ts';
import { StanzaError } from '../xmpp/errors.ts';
import type { Jid } from '../xmpp/jid.ts';
import { NS } from '../xmpp/ns.ts';
import { privatePortion } from './portability/private.ts';

/** A device asks for an element: whoever keeps such elements elsewhere sets the answer. */
export const privateAsked = gate<{ readonly user: string; readonly wanted: Element; answer: Element | undefined }>()(
  'private-asked',
  ['answer'],
);
/** A device wants an element to be kept. `take` keeps it elsewhere ('handled'), or refuses it. */
export const privateKept = gate<{ readonly by: Jid; readonly element: Element }>()('private-kept', ['take']);

export default defineModule({
  xeps: ['XEP-0049 1.2'],
  summary: 'Keeps what clients want to remember, such as bookmarks of older ones',
  config: z.strictObject({
    'max-elements': z.int().min(1).prefault(200).meta({ description: 'Elements one account may keep.' }),
    'max-bytes': z
      .int()
      .min(1024)
      .prefault(128 * 1024)
      .meta({ description: 'Bytes of one element, at most.' }),
  }),
  stores: { elements: map<string>() },

  setup({ host, config, stores }) {
    async function get({ iq, payload }: IqRequest): Promise<Element> {
      const [wanted, ...others] = payload.elements();
      // 2: one namespace at a time
      if (wanted === undefined || others.length > 0) throw new StanzaError('bad-request', 'ask for one element');
      const found = await read(iq.to.local, wanted);
      return el('query', NS.private, undefined, found ?? el(wanted.name, wanted.ns));
    }

    async function read(user: string, wanted: Element): Promise<Node | undefined> {
      const key = keyOf(wanted);
      const asked = { user, wanted, answer: undefined as Element | undefined };
      const verdict = await host.gate(privateAsked, asked);
      if (verdict instanceof StanzaError) throw verdict;
      if (asked.answer !== undefined) return asked.answer;
      const xml = await stores.elements.get(user, key);
      return xml === undefined ? undefined : { raw: xml };
    }

    const set = ({ iq, payload }: IqRequest): Promise<void> => keep(iq.from, payload.elements());

    async function keep(by: Jid, elements: readonly Element[]): Promise<void> {
      const user = by.local;
      if (elements.length === 0) throw new StanzaError('not-acceptable', 'there is nothing to keep');
      const changes = elements.map((element) => ({ element, key: keyOf(element), xml: element.toXml() }));
      if (changes.some(({ xml }) => Buffer.byteLength(xml) > config['max-bytes'])) {
        throw new StanzaError('policy-violation', `an element has at most ${config['max-bytes']} bytes`);
      }
      const all = new Set((await stores.elements.all(user)).keys());
      for (const { key } of changes) all.add(key);
      if (all.size > config['max-elements']) {
        throw new StanzaError('resource-constraint', `an account keeps at most ${config['max-elements']} elements`);
      }
      for (const { element, key, xml } of changes) {
        const verdict = await host.gate(privateKept, { by, element });
        if (verdict instanceof StanzaError) throw verdict;
        if (verdict !== 'handled') await stores.elements.set(user, key, xml);
      }
    }

    // 2: "Forbidden" is preferable
    const forbid = (): never => {
      throw new StanzaError('forbidden');
    };

    return {
      features: { server: [NS.private] },
      portion: privatePortion({
        all: async (user) => stores.elements.all(user),
        async read(user, wanted) {
          const found = await read(user, wanted);
          return found === undefined || found instanceof Element ? found : parseElement((found as RawXml).raw);
        },
        write: (user, element) => keep(user, [element]),
      }),
      handlers: [
        iqGet('self', NS.private, 'query', get),
        iqSet('self', NS.private, 'query', set),
        iqGet(['account', 'nobody'], NS.private, 'query', forbid),
        iqSet(['account', 'nobody'], NS.private, 'query', forbid),
      ],
    };
  },
});

/** @throws StanzaError where the element has no namespace of its own (2) */
function keyOf(element: Element): string {
  if (element.ns === null || element.ns === '' || element.ns === NS.private) {
    throw new StanzaError('not-acceptable', 'the element needs a namespace of its own');
  }
  return `{${element.ns}}${element.name}`;
}
