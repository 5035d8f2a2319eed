// The budgets that one connection draws on: its own, that of its network address, and its account's once it is known.
import { type Allowance, Budget } from '../base/budget.ts';
import type { C2sContext } from './context.ts';

export class ConnectionBudgets {
  private readonly context: C2sContext;
  private readonly keys: string[] = [];
  /** What a stream has to ask; none where limits are off. */
  list: readonly Budget[] = [];

  /** @param network the client's network address, or network */
  constructor(context: C2sContext, network: string) {
    this.context = context;
    const { allowances } = context.settings();
    if (allowances === undefined) return;
    this.list = [
      new Budget(allowances.stream, context.clock.now()),
      this.acquire(`address ${network}`, allowances.address),
    ];
  }

  /** From now on the account pays too. */
  join(account: string): void {
    const { allowances } = this.context.settings();
    if (this.list.length === 0 || allowances === undefined) return;
    this.list = [...this.list, this.acquire(`account ${account}`, allowances.account)];
  }

  release(): void {
    for (const key of this.keys.splice(0)) this.context.budgets.release(key, this.context.clock.now());
  }

  private acquire(key: string, allowance: Allowance): Budget {
    this.keys.push(key);
    return this.context.budgets.acquire(key, allowance, this.context.clock.now());
  }
}
