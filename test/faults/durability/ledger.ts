// What was said to whom, what the server acknowledged of it, and where it turned up: the books of the tests of durability.

/** Where a message turned up with its recipient. */
export type Place =
  /** On a session, resumed or not. */
  | 'live'
  /** On a new session after the initial presence: what had waited offline. */
  | 'offline'
  | 'archive';

interface Entry {
  readonly from: number;
  readonly to: number;
  readonly number: number;
  isAcknowledged: boolean;
  /** Came back as an error: the sender knows that it was not taken. */
  isRefused: boolean;
  readonly times: Record<Place, number>;
  inSendersArchive: number;
  /** The stanza-ids (XEP-0359) under which the recipient knows it. */
  readonly ids: Set<string>;
}

/** What one round came to; all but the first three are to be zero. */
export interface Verdict {
  readonly sent: number;
  readonly acknowledged: number;
  readonly refused: number;
  /** Acknowledged, not refused, and neither in the recipient's archive nor offline. */
  readonly lost: number;
  /** Acknowledged, and not in the sender's own archive. */
  readonly unkept: number;
  /** More than once in one place, or under two ids, so that a client cannot know that it is one message. */
  readonly doubled: number;
  /** Later than one of the same pair that was sent after it, on a session or in an archive. */
  readonly misordered: number;
  /** Where every message was to come to a session: those that did not. */
  readonly undelivered: number;
  /** The first few of what is wrong, in words. */
  readonly examples: readonly string[];
}

const BODY = /<body>say (\d+) (\d+) (\d+)<\/body>/;
const ID = / id=['"]say-(\d+)-(\d+)-(\d+)['"]/;
const STANZA_ID = /<stanza-id [^>]*>/g;
const EXAMPLES = 5;

export class Ledger {
  private readonly entries = new Map<string, Entry>();
  private readonly numbers = new Map<string, number>();
  /** The last number heard, by place and pair. */
  private readonly heard = new Map<string, number>();
  private misordered = 0;
  private stale = 0;
  private examples: string[] = [];

  /** The next message of that pair: its entry, and the body by which it is known again. */
  say(from: number, to: number): { readonly entry: Entry; readonly body: string } {
    const pair = `${from} ${to}`;
    const number = (this.numbers.get(pair) ?? 0) + 1;
    this.numbers.set(pair, number);
    const times = { live: 0, offline: 0, archive: 0 };
    const ids = new Set<string>();
    const entry = { from, to, number, isAcknowledged: false, isRefused: false, times, inSendersArchive: 0, ids };
    this.entries.set(`${pair} ${number}`, entry);
    return { entry, body: `say ${pair} ${number}` };
  }

  /** A stanza or an archive's result that `person` got. Whether it was one of the messages of this test. */
  hear(person: number, place: Place, xml: string): boolean {
    // an error need not hold what it is about; the id is there
    const isError = / type=['"]error['"]/.test(xml.slice(0, xml.indexOf('>')));
    const found = (isError ? ID : BODY).exec(xml);
    if (found === null) return false;
    const [from, to, number] = found.slice(1).map(Number) as [number, number, number];
    const key = `${from} ${to} ${number}`;
    const entry = this.entries.get(key);
    if (entry === undefined) {
      // of a round that was settled: whatever it is, it comes again
      this.stale++;
      this.note(`${key} came again (${place} of ${person}) in a later round`);
    } else if (isError) {
      entry.isRefused = true;
    } else if (entry.to === person) {
      entry.times[place]++;
      const id = place === 'archive' ? resultId(xml) : stanzaId(xml, person);
      if (id !== undefined) entry.ids.add(id);
      this.order(`${place} ${from} ${to}`, number, entry.times[place] > 1);
    } else if (entry.from === person && place === 'archive') {
      entry.inSendersArchive++;
      this.order(`sent ${from} ${to}`, number, entry.inSendersArchive > 1);
    } else {
      this.note(`${key} came to ${person}`);
      this.misordered++;
    }
    return true;
  }

  /** Messages sent. */
  get sent(): number {
    return this.entries.size;
  }

  /** Messages sent and neither acknowledged nor refused. */
  get open(): number {
    let n = 0;
    for (const entry of this.entries.values()) if (!entry.isAcknowledged && !entry.isRefused) n++;
    return n;
  }

  /** Messages that are not refused and did not come to any session yet, among those to people for whom it holds. */
  waiting(isAwaited: (person: number) => boolean): number {
    let n = 0;
    for (const { to, isRefused, times } of this.entries.values()) {
      if (!isRefused && times.live + times.offline === 0 && isAwaited(to)) n++;
    }
    return n;
  }

  /** Sums up, and closes the books of this round. `isDue`: who must have got everything on sessions. */
  settle(isDue: (person: number) => boolean = () => false): Verdict {
    const sum = { acknowledged: 0, refused: 0, lost: 0, unkept: 0, doubled: this.stale, undelivered: 0 };
    for (const [key, entry] of this.entries) {
      const { times, ids } = entry;
      const copies = [times.live, times.offline, times.archive, entry.inSendersArchive, ids.size];
      const more = Math.max(...copies) - 1;
      if (more > 0) {
        sum.doubled += more;
        this.note(`${key} doubled: ${describe(entry)}`);
      }
      if (entry.isRefused) {
        sum.refused++;
        continue;
      }
      if (isDue(entry.to) && times.live + times.offline === 0) {
        sum.undelivered++;
        this.note(`${key} never came: ${describe(entry)}`);
      }
      if (!entry.isAcknowledged) continue;
      sum.acknowledged++;
      if (times.archive + times.offline === 0) {
        sum.lost++;
        this.note(`${key} lost: ${describe(entry)}`);
      } else if (entry.inSendersArchive === 0) {
        sum.unkept++;
        this.note(`${key} is not in its sender's archive: ${describe(entry)}`);
      }
    }
    const verdict = { ...sum, sent: this.entries.size, misordered: this.misordered, examples: this.examples };
    this.entries.clear();
    this.heard.clear();
    this.misordered = 0;
    this.stale = 0;
    this.examples = [];
    return verdict;
  }

  private order(lane: string, number: number, isAgain: boolean): void {
    const last = this.heard.get(lane) ?? 0;
    if (number > last) this.heard.set(lane, number);
    else if (!isAgain) {
      this.misordered++;
      this.note(`${lane}: ${number} after ${last}`);
    }
  }

  private note(what: string): void {
    if (this.examples.length < EXAMPLES) this.examples.push(what);
  }
}

function describe({ times, inSendersArchive, ids, isAcknowledged }: Entry): string {
  const counts = `live ${times.live}, offline ${times.offline}, archive ${times.archive}, sender's ${inSendersArchive}`;
  return `${counts}, ids ${[...ids].join(' ') || 'none'}${isAcknowledged ? ', acknowledged' : ''}`;
}

function resultId(xml: string): string | undefined {
  return / id=['"]([^'"]*)['"]/.exec(/<result [^>]*>/.exec(xml)?.[0] ?? '')?.[1];
}

/** What the archive of that person calls it: others' ids say nothing here. */
function stanzaId(xml: string, person: number): string | undefined {
  for (const [tag] of xml.matchAll(STANZA_ID)) {
    if (new RegExp(` by=['"]user${person}@`).test(tag)) return / id=['"]([^'"]*)['"]/.exec(tag)?.[1];
  }
  return undefined;
}
