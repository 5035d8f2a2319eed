// What was broken, where and when, in a chaos run: what may be excused by it, the excuses say.

export const kinds = [
  'kill',
  'freeze',
  'stop',
  'no-redis',
  'no-postgres',
  'neither',
  'redis-restart',
  'redis-empty',
  'postgres-restart',
  'postgres-kill',
  'cuts',
] as const;
export type Kind = (typeof kinds)[number];

export interface Trouble {
  readonly kind: Kind;
  /** Whose trouble it was; undefined when it was everybody's. */
  readonly node: string | undefined;
  readonly from: number;
  /** Infinity while it lasts. */
  to: number;
}

export class Troubles {
  private readonly all: Trouble[] = [];

  /** To be ended by setting its `to`. */
  begin(kind: Kind, node?: string, from = performance.now()): Trouble {
    const trouble = { kind, node, from, to: Number.POSITIVE_INFINITY };
    this.all.push(trouble);
    return trouble;
  }

  /** Whether one of those kinds, of that node (without one, of whichever) or of everybody, is such as is asked for. */
  some(of: ReadonlySet<Kind>, node: string | undefined, isSuch: (trouble: Trouble) => boolean): boolean {
    const isThere = (one: Trouble): boolean => one.node === undefined || node === undefined || one.node === node;
    return this.all.some((one) => of.has(one.kind) && isThere(one) && isSuch(one));
  }
}
