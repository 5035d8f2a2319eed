// What of a batch takes long to handle: while it does, it is written down in Redis beside the inbox, for whoever takes over should this
// node die over it.
import type { NodeId } from '../cluster.ts';
import { type Content, writeBatch, writeFrame } from './frames.ts';

/** What of a batch is not handled yet. */
export class Work {
  private readonly from: NodeId;
  private readonly number: number;
  private readonly open = new Set<Content>();
  /** Its name where it is set aside. */
  name: string | undefined;
  /** Resolves when all of it is handled. */
  readonly done: Promise<void>;
  private finish!: () => void;

  /** @param number of the batch, whose sender that is */
  constructor(from: NodeId, number: number) {
    this.from = from;
    this.number = number;
    this.done = new Promise((resolve) => {
      this.finish = resolve;
    });
  }

  get isDone(): boolean {
    return this.open.size === 0;
  }

  /** A part of it is handled when that has resolved. */
  add(content: Content, until: Promise<unknown>): void {
    this.open.add(content);
    void until.then(() => {
      this.open.delete(content);
      if (this.isDone) this.finish();
    });
  }

  /** As a batch. Only of frames: what was asked or told is of no use when this node is dead. */
  write(): string {
    let items = '';
    for (const content of this.open) if (content.kind === 'frame') items += writeFrame(content.frame);
    return writeBatch(this.from, this.number, items);
  }
}
