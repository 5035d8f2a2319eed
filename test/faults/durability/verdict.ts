// What rounds of the tests of durability came to, in words and in sum.
import type { Verdict } from './ledger.ts';
import type { Round } from './rounds.ts';

const EXAMPLES = 8;
const WRONG = ['lost', 'unkept', 'doubled', 'misordered', 'undelivered'] as const;

/** One line. */
export function describeRound({ verdict, note }: Round): string {
  return `${describe(verdict)}; ${note}`;
}

/** What was wrong with it, if anything. */
export function problemsOf({ verdict, failures }: Round): string[] {
  return [...verdict.examples, ...failures.slice(0, EXAMPLES)];
}

type Sums = Omit<Verdict, 'examples'>;

export class Total {
  private readonly sums = {
    sent: 0,
    acknowledged: 0,
    refused: 0,
    lost: 0,
    unkept: 0,
    doubled: 0,
    misordered: 0,
    undelivered: 0,
  };
  private failures = 0;
  private rounds = 0;

  add({ verdict, failures }: Round): void {
    this.rounds++;
    this.failures += failures.length;
    for (const key of Object.keys(this.sums) as (keyof Sums)[]) this.sums[key] += verdict[key];
  }

  get isGood(): boolean {
    return this.failures === 0 && WRONG.every((key) => this.sums[key] === 0);
  }

  toString(): string {
    return `${this.rounds} rounds, ${describe(this.sums)}, ${this.failures} other failures`;
  }
}

function describe(sums: Sums): string {
  const { sent, acknowledged, refused, lost, doubled } = sums;
  const more = (['unkept', 'misordered', 'undelivered'] as const)
    .filter((key) => sums[key] > 0)
    .map((key) => `, ${sums[key]} ${key}`)
    .join('');
  const answers = refused > 0 ? `${acknowledged} acknowledged, ${refused} refused` : `${acknowledged} acknowledged`;
  return `${sent} sent, ${answers}, ${lost} lost, ${doubled} doubled${more}`;
}

/** A random sequence that a seed repeats (mulberry32): numbers from 0 to below 1. */
export function seeded(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}
