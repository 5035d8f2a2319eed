// What PostgreSQL has done to answer a question (EXPLAIN with ANALYZE), and whether that was little.
import { expect } from 'vitest';

export interface QueryPlan {
  readonly 'Node Type': string;
  readonly 'Relation Name'?: string;
  readonly 'Index Name'?: string;
  readonly 'Actual Rows': number;
  readonly 'Actual Loops': number;
  readonly 'Rows Removed by Filter'?: number;
  /** With BUFFERS. */
  readonly 'Shared Hit Blocks'?: number;
  readonly 'Shared Read Blocks'?: number;
  readonly Plans?: readonly QueryPlan[];
}

/** The plan in the only row that `EXPLAIN (ANALYZE, FORMAT JSON)` answers. */
export function planIn(rows: readonly unknown[]): QueryPlan {
  return (rows[0] as { 'QUERY PLAN': [{ Plan: QueryPlan }] })['QUERY PLAN'][0].Plan;
}

/** It, and all that it is made of. */
export const partsOf = (plan: QueryPlan): QueryPlan[] => [plan, ...(plan.Plans ?? []).flatMap(partsOf)];

/** What it has read. */
export const rowsOf = (plan: QueryPlan): number =>
  (plan['Actual Rows'] + (plan['Rows Removed by Filter'] ?? 0)) * plan['Actual Loops'];

/** A line for each part. */
export const outline = (plan: QueryPlan): string =>
  partsOf(plan)
    .map((part) => `${part['Node Type']} ${part['Index Name'] ?? part['Relation Name'] ?? ''}: ${rowsOf(part)} rows`)
    .join('\n');

/** Every row that is read or sorted is one of these few, and found by an index. */
export function expectFewRows(plan: QueryPlan, most: number, what = outline(plan)): void {
  for (const part of partsOf(plan)) {
    if (part['Node Type'] === 'Seq Scan') expect(part['Relation Name'], what).toBeUndefined();
    if (/Scan|Sort/.test(part['Node Type'])) expect(rowsOf(part), what).toBeLessThanOrEqual(most);
  }
}
