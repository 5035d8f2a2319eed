// The processes below another one, as Linux tells of them.
import { readdirSync, readFileSync } from 'node:fs';

/** The nodes that a primary has forked. */
export function nodesOf(primary: number): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => {
      try {
        const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
        const [state, parent] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
        return Number(parent) === primary && state !== 'Z' && isNode(pid);
      } catch {
        // gone meanwhile
        return false;
      }
    });
}

const isNode = (pid: number): boolean =>
  /\bparley\.js\0node\0/.test(`${readFileSync(`/proc/${pid}/cmdline`, 'utf8')}\0`);
