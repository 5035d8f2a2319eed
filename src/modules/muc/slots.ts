// Where modules keep what they know of a room or an occupant.

interface Keeping<T> {
  /** As JSON, for the next owner of the room. */
  save(value: T): unknown;
  restore(saved: unknown): T;
}

/** A place for a value on a room or on an occupant. */
export interface RoomSlot<T> {
  readonly name: string;
  readonly kept: Keeping<T> | undefined;
}

/**
 * Names such a place. Values are gone when the room is let go; those with `kept` move with it to other nodes, though not over a crash.
 * @param name unique among all modules
 */
export function defineRoomSlot<T>(name: string, options: { readonly kept?: Keeping<T> } = {}): RoomSlot<T> {
  return { name, kept: options.kept };
}

/** Something that has slots; what comes from another node is restored when somebody asks for it. */
export class Slotted {
  private slots: Map<RoomSlot<never>, unknown> | undefined;
  private saved: Readonly<Record<string, unknown>> | undefined;

  constructor(saved?: Readonly<Record<string, unknown>>) {
    this.saved = saved;
  }

  get<T>(slot: RoomSlot<T>): T | undefined {
    const value = this.slots?.get(slot as RoomSlot<never>) as T | undefined;
    if (value !== undefined || slot.kept === undefined || this.saved === undefined) return value;
    const { [slot.name]: saved, ...others } = this.saved;
    if (saved === undefined) return undefined;
    this.saved = others;
    const restored = slot.kept.restore(saved);
    this.set(slot, restored);
    return restored;
  }

  /** `undefined` empties it. */
  set<T>(slot: RoomSlot<T>, value: T | undefined): void {
    if (value === undefined) {
      this.slots?.delete(slot as RoomSlot<never>);
      if (slot.kept !== undefined && this.saved !== undefined) {
        const { [slot.name]: _, ...others } = this.saved;
        this.saved = others;
      }
      return;
    }
    this.slots ??= new Map();
    this.slots.set(slot as RoomSlot<never>, value);
  }

  /** What goes with it to another node: JSON; undefined when there is nothing. */
  saveSlots(): Readonly<Record<string, unknown>> | undefined {
    let all: Record<string, unknown> | undefined = this.saved && { ...this.saved };
    for (const [slot, value] of this.slots ?? []) {
      if (slot.kept === undefined) continue;
      all ??= {};
      all[slot.name] = slot.kept.save(value as never);
    }
    return all !== undefined && Object.keys(all).length > 0 ? all : undefined;
  }
}
