// Log-linear histogram of durations in microseconds: at most 1.6 % error, cheap to record into, mergeable across processes.

const LINEAR = 64;
const STEPS = 32;
const SIZE = LINEAR + 26 * STEPS;

/** The sparse form that crosses from a worker to the parent: index, count, index, count, ... */
export type HistogramData = readonly number[];

export class Histogram {
  private readonly counts = new Float64Array(SIZE);
  count = 0;
  private largest = 0;

  /** Records one duration in microseconds. */
  record(us: number): void {
    const value = us < 0 ? 0 : us > 0x7fffffff ? 0x7fffffff : us | 0;
    const slot = slotOf(value);
    this.counts[slot] = this.counts[slot]! + 1;
    this.count++;
    if (value > this.largest) this.largest = value;
  }

  /** The duration in microseconds below which `share` (0 to 1) of the records lie; 0 when there are none. */
  quantile(share: number): number {
    const rank = Math.ceil(share * this.count);
    let seen = 0;
    for (let slot = 0; slot < SIZE; slot++) {
      seen += this.counts[slot]!;
      if (seen >= rank && seen > 0) return Math.min(middleOf(slot), this.largest);
    }
    return 0;
  }

  get max(): number {
    return this.largest;
  }

  add(data: HistogramData): void {
    for (let i = 0; i + 1 < data.length; i += 2) {
      const slot = data[i]!;
      const count = data[i + 1]!;
      this.counts[slot] = this.counts[slot]! + count;
      this.count += count;
      this.largest = Math.max(this.largest, Math.round(middleOf(slot)));
    }
  }

  toData(): HistogramData {
    const data: number[] = [];
    for (let slot = 0; slot < SIZE; slot++) if (this.counts[slot]! > 0) data.push(slot, this.counts[slot]!);
    return data;
  }
}

function slotOf(value: number): number {
  if (value < LINEAR) return value;
  const exponent = 31 - Math.clz32(value);
  return LINEAR + (exponent - 6) * STEPS + ((value >>> (exponent - 5)) - STEPS);
}

function middleOf(slot: number): number {
  if (slot < LINEAR) return slot;
  const exponent = Math.floor((slot - LINEAR) / STEPS) + 6;
  const mantissa = ((slot - LINEAR) % STEPS) + STEPS;
  return (mantissa + 0.5) * 2 ** (exponent - 5);
}
