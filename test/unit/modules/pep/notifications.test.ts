// What an item costs that many hear of: it is written once.
import { afterEach, expect, test, vi } from 'vitest';
import { Element, el } from '../../../../src/xml/element.ts';
import { countingStream, type Eventing, startEventing } from '../../../kit/direct.ts';

const NODE = 'http://jabber.org/protocol/tune';
let eventing: Eventing;
afterEach(async () => {
  vi.restoreAllMocks();
  await eventing.server.stop();
});

test('an item is serialised once, however many contacts hear of it', async () => {
  eventing = await startEventing();
  /** How often the payload was written out, and how often any element within another was. */
  async function costOf(contacts: number): Promise<{ readonly payload: number; readonly elements: number }> {
    const user = `romeo${contacts}`;
    const stream = countingStream();
    await eventing.hear(user, contacts, NODE, stream);
    let payload = 0;
    const title = {
      get raw() {
        payload++;
        return '<title>The east</title>';
      },
    };
    // the first makes the node
    await eventing.nodes.publish(user, NODE, el('tune', NODE), { id: 'current' });
    await vi.waitFor(() => expect(stream.stanzas).toBe(contacts));
    const written = vi.spyOn(Element, 'kept');
    await eventing.nodes.publish(user, NODE, el('tune', NODE, undefined, title), { id: 'current' });
    await vi.waitFor(() => expect(stream.stanzas).toBe(2 * contacts));
    const elements = written.mock.calls.length;
    written.mockRestore();
    return { payload, elements };
  }

  const one = await costOf(1);
  expect(one.payload).toBe(1);
  expect(one.elements).toBeGreaterThan(0);
  expect(await costOf(200)).toEqual(one);
});
