import fc from 'fast-check';
import { expect, test } from 'vitest';
import { attribute } from '../../../bench/load/client.ts';
import { StanzaCutter } from '../../../bench/load/stanzas.ts';

const STANZAS = [
  `<message to='a@b' type="chat"><body>1 &lt; 2</body><x xmlns='y'/></message>`,
  `<r xmlns='urn:xmpp:sm:3'/>`,
  `<message><forwarded><message from='c@d/e'><body>hi</body></message></forwarded></message>`,
  `<presence from='a@b' note='a > b, "/>"'/>`,
  `<a h="7"/>`,
  `<iq type='result' id='1'></iq>`,
];

test('stanzas are cut out whole, wherever chunks end', () => {
  const text = STANZAS.join('\n ');
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 1, max: text.length - 1 })), (cuts) => {
      const heard: string[] = [];
      const cutter = new StanzaCutter((xml) => heard.push(xml));
      const edges = [0, ...[...cuts].sort((a, b) => a - b), text.length];
      for (let i = 1; i < edges.length; i++) cutter.feed(text.slice(edges[i - 1], edges[i]));
      expect(heard).toEqual(STANZAS);
    }),
  );
});

test('the end of a stream is taken as such', () => {
  const heard: string[] = [];
  new StanzaCutter((xml) => heard.push(xml)).feed('<presence/></stream:stream>');
  expect(heard).toEqual(['<presence/>', '</stream:stream>']);
});

test('an attribute is found by its whole name, in either quotes', () => {
  expect(attribute(`<enabled resume='true' x-id='no' id="5'"/>`, 'id')).toBe("5'");
  expect(attribute(`<enabled/>`, 'id')).toBeUndefined();
});
