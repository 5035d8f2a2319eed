// A small bounded cache that keeps what was used lately.

/**
 * Two generations: entries go into the young one; when that is full it becomes the old one and what was old is dropped.
 * An old entry that is used again is young again. Between `capacity` and twice as many entries are kept; no operation
 * costs more than a few hash look-ups, whatever is put in and in whatever order.
 */
export class LruCache<K, V> {
  private readonly capacity: number;
  private young = new Map<K, V>();
  private old = new Map<K, V>();

  constructor(capacity: number) {
    this.capacity = capacity;
  }

  /** How many entries are kept; one that is in both generations counts twice. */
  get size(): number {
    return this.young.size + this.old.size;
  }

  get(key: K): V | undefined {
    const value = this.young.get(key);
    if (value !== undefined) return value;
    const aged = this.old.get(key);
    if (aged !== undefined) this.set(key, aged);
    return aged;
  }

  set(key: K, value: V): void {
    this.young.set(key, value);
    if (this.young.size >= this.capacity) {
      this.old = this.young;
      this.young = new Map();
    }
  }

  delete(key: K): void {
    this.young.delete(key);
    this.old.delete(key);
  }

  clear(): void {
    this.young.clear();
    this.old.clear();
  }
}
