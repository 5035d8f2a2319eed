// What it costs to make XML of elements: built by us, relayed as parsed, with one more child, and to many at once.
import { type Element, el } from '../../src/xml/element.ts';
import { Parser } from '../../src/xml/parser.ts';
import { header, samples } from './samples.ts';

/** The sample's element, its source not remembered. */
function parse(xml: string, cut: boolean): Element {
  let parsed: Element | undefined;
  const parser = new Parser({
    onHeader() {},
    onElement: (element) => {
      parsed = element;
    },
    onEnd() {},
    onError() {},
  });
  parser.writeText(header);
  for (const part of cut ? [xml.slice(0, 20), xml.slice(20)] : [xml]) parser.writeText(part);
  if (parsed === undefined) throw new Error('a sample was refused');
  return parsed;
}

let written = 0;
const sink = Buffer.alloc(64 * 1024);
/** A string of pieces costs its joining only when it is written. */
function write(xml: string): void {
  written += sink.write(xml, 0, 'utf8');
}

/** CPU nanoseconds per call, the best of a few rounds, with the writing. */
function measure(step: (i: number) => string): string {
  let best = Number.POSITIVE_INFINITY;
  for (let round = 0; round < 6; round++) {
    let count = 0;
    const start = process.cpuUsage();
    const until = Date.now() + 80;
    while (Date.now() < until) for (let i = 0; i < 200; i++, count++) write(step(i));
    const { user, system } = process.cpuUsage(start);
    best = Math.min(best, ((user + system) * 1000) / count);
  }
  return best.toFixed(0).padStart(10);
}

const FRESH = 200;
const added = parse("<stanza-id xmlns='urn:xmpp:sid:0' id='1' by='juliet@capulet.example'/>", true);
console.log('ns per stanza, to bytes     built   relayed  appended  to 1 of many');
for (const [name, xml] of Object.entries(samples)) {
  // made anew each time, there is nothing kept from the last time
  const template = parse(xml, true);
  const built = measure(() => el(template.name, template.ns, template.attrs, ...template.children).toXml());
  const relayed = Array.from({ length: FRESH }, () => parse(xml, false));
  const viaWith = measure((i) => relayed[i % FRESH]!.with({ from: 'juliet@capulet.example/balcony' }).toXml());
  const appended = measure((i) => relayed[i % FRESH]!.append(added).toXml());
  const to = parse(xml, false).addressed();
  console.log(
    name.padEnd(22),
    built,
    viaWith,
    appended,
    measure((i) => to(i % 2 === 0 ? 'a@b.example/c' : 'd@e.example/f')),
  );
}
if (written === 0) throw new Error('nothing was written');
