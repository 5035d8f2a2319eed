// Nodes that were held for dead although nothing was done to them: their machine has stood still for longer than a node may be silent. What
// follows is what follows when a node freezes, so it is noted as that. The nodes' logs tell of it.
import { type Kind, kinds, type Troubles } from './troubles.ts';

/** How long a node is silent at least before it is held for dead, and until that is logged, in milliseconds. */
const SILENCE = 8_000;
/** What somebody has done to a node is over for so long before it cannot be why the node is silent. */
const AFTERMATH = 12_000;

/** Of a node that stops in order nobody says that it was not heard of. */
const silencing: ReadonlySet<Kind> = new Set<Kind>(kinds.filter((kind) => kind !== 'stop' && kind !== 'cuts'));

/** Who was held for dead, and when (as `performance.now()`). */
export function* deathsIn(log: string): Iterable<{ readonly node: string; readonly at: number }> {
  for (const line of log.split('\n')) {
    if (!line.includes('counts as dead')) continue;
    const { time, node } = JSON.parse(line) as { readonly time: string; readonly node: string };
    yield { node: node.slice(0, node.indexOf(':')), at: Date.parse(time) - performance.timeOrigin };
  }
}

/** Notes those that nothing explains. Returns what to say of each. */
export function noteStandstills(logs: readonly string[], troubles: Troubles): readonly string[] {
  const said: string[] = [];
  for (const { node, at } of logs.flatMap((log) => [...deathsIn(log)])) {
    if (troubles.some(silencing, node, ({ from, to }) => from <= at && at <= to + AFTERMATH)) continue;
    troubles.begin('freeze', node, at - SILENCE).to = at;
    said.push(
      `${new Date(performance.timeOrigin + at).toISOString()} ${node} was held for dead: the machine stood still`,
    );
  }
  return said;
}
