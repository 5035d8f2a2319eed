import { describe, expect, it } from 'vitest';
import { type Allowance, SharedBudgets } from '../../../src/base/budget.ts';

const allowance: Allowance = { bytes: { rate: 100, burst: 1000 }, elements: { rate: 10, burst: 5 } };

describe('shared budgets', () => {
  it('are one budget for all who have the key', () => {
    const budgets = new SharedBudgets(() => {});
    const one = budgets.acquire('office', allowance, 0);
    const other = budgets.acquire('office', allowance, 0);
    expect(one.takeBytes(900, 0)).toBe(0);
    expect(other.takeBytes(200, 0)).toBe(1000);
    expect(budgets.acquire('home', allowance, 0).takeBytes(200, 0)).toBe(0);
  });

  it('count bytes and elements apart', () => {
    const budget = new SharedBudgets(() => {}).acquire('x', allowance, 0);
    for (let i = 0; i < 5; i++) expect(budget.takeElement(0)).toBe(0);
    expect(budget.takeElement(0)).toBe(100);
    expect(budget.takeBytes(10, 0)).toBe(0);
  });

  it('are forgotten when nobody uses them, but not before the debt is paid', () => {
    const later: { ms: number; fn: () => void }[] = [];
    const budgets = new SharedBudgets((ms, fn) => later.push({ ms, fn }));
    budgets.acquire('a', allowance, 0);
    budgets.release('a', 0);
    expect(budgets.size).toBe(0);

    budgets.acquire('b', allowance, 0).takeBytes(1500, 0);
    budgets.release('b', 0);
    expect(budgets.size).toBe(1);
    // who comes back meets the old debt
    expect(budgets.acquire('b', allowance, 1000).takeBytes(0, 1000)).toBe(4000);
    later[0]!.fn();
    expect(budgets.size).toBe(1);
    budgets.release('b', 5000);
    expect(budgets.size).toBe(0);
  });
});
