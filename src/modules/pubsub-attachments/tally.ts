// XEP-0470 4.7.3, 4.8.2: the attachments of one item, counted.
import { type Element, el } from '../../xml/element.ts';
import { flatten } from '../../xml/flatten.ts';
import { NS } from '../../xmpp/ns.ts';

/** What counts of one person's attachments. */
export interface Attached {
  readonly isNoticed: boolean;
  /** Each once. */
  readonly reactions: readonly string[];
}

/** Reactions of one person that count. */
const MOST_EACH = 30;
/** Different ones in a summary: the most frequent. */
const MOST_SHOWN = 200;
/** Of an emoji, in UTF-16: families are long. */
const MOST_LENGTH = 40;

const letters = new Intl.Segmenter('en', { granularity: 'grapheme' });
const pictures = /\p{Extended_Pictographic}|\p{Regional_Indicator}|\u20e3/u;

/** 5: "can be displayed as a single emoji". */
function isEmoji(text: string): boolean {
  if (text.length === 0 || text.length > MOST_LENGTH || !pictures.test(text)) return false;
  const [first] = letters.segment(text);
  return first?.segment.length === text.length;
}

/** What of an item with attachments is summed up. */
export function attachedIn(payload: Element): Attached {
  const found = new Set<string>();
  for (const reactions of payload.getChildren('reactions')) {
    for (const reaction of reactions.getChildren('reaction')) {
      const text = reaction.getText().trim();
      if (found.size < MOST_EACH && isEmoji(text)) found.add(flatten(text));
    }
  }
  return { isNoticed: payload.getChild('noticed') !== undefined, reactions: [...found] };
}

export class Tally {
  private readonly people = new Map<string, Attached>();
  private readonly reactions = new Map<string, number>();
  private noticed = 0;

  /** What somebody has attached from now on; undefined for nothing. */
  set(who: string, attached: Attached | undefined): void {
    const before = this.people.get(who);
    if (before !== undefined) this.count(before, -1);
    if (attached === undefined) {
      this.people.delete(who);
      return;
    }
    this.people.set(who, attached);
    this.count(attached, 1);
  }

  clear(): void {
    this.people.clear();
    this.reactions.clear();
    this.noticed = 0;
  }

  private count({ isNoticed, reactions }: Attached, by: 1 | -1): void {
    if (isNoticed) this.noticed += by;
    for (const one of reactions) {
      const count = (this.reactions.get(one) ?? 0) + by;
      if (count === 0) this.reactions.delete(one);
      else this.reactions.set(one, count);
    }
  }

  /** The most frequent reactions first; of those that are as frequent, the ones that came first. */
  summary(): Element {
    const children: Element[] = [];
    if (this.noticed > 0) children.push(el('noticed', NS.attachmentsSummary, { count: String(this.noticed) }));
    if (this.reactions.size > 0) {
      const sorted = [...this.reactions].sort(([, one], [, other]) => other - one).slice(0, MOST_SHOWN);
      const counted = sorted.map(([emoji, count]) =>
        el('reaction', NS.attachmentsSummary, { count: count > 1 ? String(count) : undefined }, emoji),
      );
      children.push(el('reactions', NS.attachmentsSummary, undefined, ...counted));
    }
    return el('summary', NS.attachmentsSummary, undefined, ...children);
  }
}
