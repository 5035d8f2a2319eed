// What the books of a chaos run come to: how often there was what, and the first few of what must not be, in words.

export class Findings<Told extends string, Wrong extends string> {
  readonly sum: Record<Told | Wrong, number>;
  readonly examples: string[] = [];
  private readonly most: number;
  private readonly open: (() => void)[] = [];
  private readonly where: string;

  /**
   * @param told what is told, and is no fault
   * @param wrong what must not be
   * @param most how many examples are kept of each of that
   * @param where what they begin with
   */
  constructor(told: readonly Told[], wrong: readonly Wrong[], most: number, where = '') {
    this.sum = Object.fromEntries([...told, ...wrong].map((what) => [what, 0])) as Record<Told | Wrong, number>;
    this.most = most;
    this.where = where;
  }

  /** Wrong, unless it is excused: by what is known now, or when the books are closed. */
  unless(isExcused: () => boolean, told: Told, what: Wrong, how: string): void {
    const excuse = (): void => void (this.sum as Record<Told, number>)[told]++;
    if (isExcused()) excuse();
    else this.open.push(() => (isExcused() ? excuse() : this.wrong(what, how)));
  }

  /** All is known. */
  settle(): void {
    for (const judge of this.open.splice(0)) judge();
  }

  wrong(what: Wrong, how: string): void {
    // (what is in the sum is of either kind, which the compiler cannot count in)
    (this.sum as Record<Wrong, number>)[what]++;
    if (this.sum[what] <= this.most) this.examples.push(`${this.where}${what}: ${how}`);
  }
}
