// The two nodes of a profile, published at by several clients at once: whatever comes last is at both, and it comes to an end.
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Turns } from '../../../../src/base/turns.ts';
import { personalConfig } from '../../../../src/modules/pep/defaults.ts';
import type { PersonalNodes } from '../../../../src/modules/pep/service.ts';
import type { Node } from '../../../../src/modules/pubsub/node.ts';
import { Mirror } from '../../../../src/modules/vcard4/mirror.ts';
import { type Element, el } from '../../../../src/xml/element.ts';
import { StanzaError } from '../../../../src/xmpp/errors.ts';
import { Jid } from '../../../../src/xmpp/jid.ts';

const romeo = Jid.of('romeo', 'verona.test');
const orchard = romeo.withResource('orchard');

/** Nodes that keep one item each, and take a moment for everything, in an order of the scheduler's. */
class TestNodes {
  readonly items = new Map<string, { readonly id: string; readonly payload: Element }>();
  readonly mirror: Mirror;
  readonly work: unknown[] = [];
  published = 0;
  last: Element | undefined;
  private readonly turns = new Turns<string>();
  private readonly stores = new Turns<string>();
  private readonly wait: () => Promise<void>;

  constructor(wait: () => Promise<void>) {
    this.wait = wait;
    const config = personalConfig(1000);
    const nodes: Partial<PersonalNodes> = {
      config: async (_, node) => {
        await wait();
        return this.items.has(node) ? config : undefined;
      },
      items: async (_, node, { ids } = {}) => {
        await wait();
        const item = this.items.get(node);
        return item === undefined || (ids !== undefined && !ids.includes(item.id)) ? [] : [item];
      },
      publish: (_, node, payload) => this.publish(node, payload, romeo),
      remove: async (_, node) => {
        await wait();
        this.items.delete(node);
      },
      retract: async () => {},
    };
    this.mirror = new Mirror({ nodes: nodes as PersonalNodes, otherOf: (node) => (node === 'a' ? 'b' : 'a') });
  }

  /** As the engine does it: let in, and stored, in the order of the node; told of when it is stored. */
  async publish(name: string, payload: Element, publisher: Jid): Promise<string> {
    const event = { service: romeo, node: { name } as Node, publisher, id: 'x', payload };
    const issued = this.turns.run(name, async () => {
      await this.wait();
      const verdict = this.mirror.publishing(event);
      if (verdict instanceof StanzaError) throw verdict;
      this.published++;
      if (!publisher.isBare) this.last = payload;
      const store = async (): Promise<void> => {
        await this.wait();
        this.items.set(name, { id: 'x', payload });
      };
      const stored = this.stores.run(name, store);
      return { stored };
    });
    await (await issued).stored;
    this.work.push(this.mirror.published(event));
    return 'x';
  }
}

test('what is published last is at both nodes in the end, in whatever order it is done', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.scheduler(),
      fc.array(fc.constantFrom('a', 'b'), { minLength: 1, maxLength: 6 }),
      async (scheduler, names) => {
        const nodes = new TestNodes(() => scheduler.schedule(Promise.resolve()));
        const all = names.map((name, at) => nodes.publish(name, el('vcard', 'urn:v', { at: String(at) }), orchard));
        await scheduler.waitFor(Promise.all(all));
        for (let done = 0; done < nodes.work.length; done++) await scheduler.waitFor(Promise.resolve(nodes.work[done]));
        for (const name of ['a', 'b']) expect(nodes.items.get(name)?.payload).toBe(nodes.last);
        expect(nodes.published).toBeLessThanOrEqual(2 * names.length);
      },
    ),
  );
});
