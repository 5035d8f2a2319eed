// Room for work that waits for somebody else: so much in all, and so much for any one of those who ask, that none takes the place of
// all others.

/** How many may wait, and how much they may amount to, in whatever unit their sizes have. */
export interface RoomLimits {
  readonly count: number;
  readonly size: number;
}

interface Share {
  count: number;
  size: number;
}

export class Room {
  private readonly limits: RoomLimits;
  private readonly limitsOfOne: RoomLimits;
  private readonly all: Share = { count: 0, size: 0 };
  /** Of those who wait for anything. */
  private readonly shares = new Map<string, Share>();

  constructor(limits: RoomLimits, limitsOfOne: RoomLimits) {
    this.limits = limits;
    this.limitsOfOne = limitsOfOne;
  }

  /** How many wait. */
  get count(): number {
    return this.all.count;
  }

  /** Takes a place for somebody; false, and nothing is taken, where there is none. */
  enter(who: string, size: number): boolean {
    const share = this.shares.get(who) ?? { count: 0, size: 0 };
    if (!fits(this.all, size, this.limits) || !fits(share, size, this.limitsOfOne)) return false;
    this.shares.set(who, share);
    add(this.all, 1, size);
    add(share, 1, size);
    return true;
  }

  /** Gives a place back that was taken. */
  leave(who: string, size: number): void {
    const share = this.shares.get(who);
    if (share === undefined) return;
    add(this.all, -1, -size);
    add(share, -1, -size);
    if (share.count === 0) this.shares.delete(who);
  }
}

function fits(share: Share, size: number, limits: RoomLimits): boolean {
  return share.count < limits.count && share.size + size <= limits.size;
}

function add(share: Share, count: number, size: number): void {
  share.count += count;
  share.size += size;
}
