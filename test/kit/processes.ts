// The processes of nodes, as Linux tells of them.
import { existsSync, readdirSync, readFileSync } from 'node:fs';

/** The nodes that a primary has forked. */
export function nodesOf(primary: number): number[] {
  return nodesWith(({ parent }) => parent === primary);
}

/** The nodes that run on that configuration file, whether or not their primary is still there. */
export function nodesOn(file: string): number[] {
  return nodesWith(({ args }) => args.includes(file));
}

interface Running {
  readonly parent: number;
  readonly args: readonly string[];
}

function nodesWith(holds: (one: Running) => boolean): number[] {
  if (!existsSync('/proc')) return [];
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => {
      try {
        const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
        const [state, parent] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
        const args = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
        const isNode = args.some((arg, i) => arg === 'node' && args[i - 1]?.endsWith('parley.js'));
        return state !== 'Z' && isNode && holds({ parent: Number(parent), args });
      } catch {
        // gone meanwhile
        return false;
      }
    });
}
