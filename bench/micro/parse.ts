// What it costs to make elements of bytes, one stanza per chunk: our parser against saxes with the same tree.
import { StringDecoder } from 'node:string_decoder';
import { Parser } from '../../src/xml/parser.ts';
import { SaxesOracle } from '../../test/kit/saxes-oracle.ts';
import { header, samples } from './samples.ts';

let elements = 0;
const unexpected = (): never => {
  throw new Error('a sample was refused');
};

function ours(): (chunk: Buffer) => void {
  const parser = new Parser({
    onHeader() {},
    onElement: () => {
      elements++;
    },
    onEnd: unexpected,
    onError: unexpected,
  });
  return (chunk) => parser.write(chunk);
}

function oracle(): (chunk: Buffer) => void {
  const decoder = new StringDecoder('utf8');
  const saxes = new SaxesOracle((event) => (event.kind === 'error' ? unexpected() : elements++));
  return (chunk) => saxes.write(decoder.write(chunk));
}

/** CPU microseconds per chunk, the best of a few rounds. */
function measure(make: () => (chunk: Buffer) => void, chunk: Buffer, milliseconds: number): number {
  const feed = make();
  feed(Buffer.from(header));
  let best = Number.POSITIVE_INFINITY;
  for (let round = 0; round < 6; round++) {
    let count = 0;
    const start = process.cpuUsage();
    const until = Date.now() + milliseconds;
    while (Date.now() < until) for (let i = 0; i < 200; i++, count++) feed(chunk);
    const { user, system } = process.cpuUsage(start);
    best = Math.min(best, (user + system) / count);
  }
  return best;
}

console.log('us per stanza           bytes     ours    saxes    ratio');
for (const [name, xml] of Object.entries(samples)) {
  const chunk = Buffer.from(xml);
  const own = measure(ours, chunk, 150);
  const other = measure(oracle, chunk, 150);
  const columns = [chunk.length, own.toFixed(2), other.toFixed(2), (other / own).toFixed(1)];
  console.log(name.padEnd(20), ...columns.map((column) => String(column).padStart(8)));
}
const many = Buffer.from(samples.message!.repeat(180));
console.log(`message, 180 to a chunk       ${(measure(ours, many, 150) / 180).toFixed(2).padStart(8)}`);
console.log(
  `a new stream and its header   ${measure(() => () => ours()(Buffer.from(header)), many, 100)
    .toFixed(2)
    .padStart(8)}`,
);

globalThis.gc?.();
const before = process.memoryUsage().heapUsed;
const idle = Array.from({ length: 10_000 }, () => {
  const feed = ours();
  feed(Buffer.from(header + samples.message));
  return feed;
});
globalThis.gc?.();
console.log(
  `bytes of an idle parser       ${((process.memoryUsage().heapUsed - before) / idle.length).toFixed(0).padStart(8)}  (run with --expose-gc)`,
);
