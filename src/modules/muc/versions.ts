// The versions of a room's affiliations (XEP-0463): each change brings another one. A row knows by which it came, and so does what is left
// of one that was taken away, so that whoever knows an older version is told what has changed since, at the cost of what has changed.
import type { BareJid } from '../../xmpp/jid.ts';
import type { AffiliationRow } from './rows.ts';

/** Those whose affiliation was taken away and who are remembered: so many, and so long, in milliseconds. */
const MOST_REMOVED = 1000;
const LONGEST = 90 * 24 * 3_600_000;
/** As many of them stay when there are more. */
const LEFT = 500;

/** What a change makes of the version. */
export interface Step {
  readonly since: number;
  readonly until: number;
}

/** With which version somebody's affiliation came. */
interface Change {
  readonly version: number;
  readonly person: BareJid;
}

export class Versions {
  /** What holds. */
  current: number;
  /** What changed with this version or before it is not wholly known. */
  floor: number;
  /** What is left of affiliations that were taken away, the oldest first. */
  readonly removed: ReadonlyMap<BareJid, AffiliationRow>;
  private readonly gone: Map<BareJid, AffiliationRow>;
  /** The last one that a change was given, whether or not it came to pass. */
  private given: number;
  /** In the order of versions; made when somebody asks. Changes that later ones have overtaken are among them. */
  private log: Change[] | undefined;

  constructor(rows: ReadonlyMap<BareJid, AffiliationRow>, floor = 0) {
    this.floor = floor;
    let current = floor;
    for (const { version = 0 } of rows.values()) current = Math.max(current, version);
    this.current = current;
    this.given = current;
    const gone = [...rows].filter(([, { affiliation }]) => affiliation === 'none');
    this.gone = new Map(gone.sort(([, one], [, other]) => versionOf(one) - versionOf(other)));
    this.removed = this.gone;
  }

  /** A version for a change that is about to be written. */
  claim(): number {
    return ++this.given;
  }

  /** A change has come to pass. `row`: what is stored of it; undefined where nothing is to be remembered. */
  apply(person: BareJid, version: number, row: AffiliationRow | undefined): Step {
    const since = this.current;
    this.current = version;
    this.gone.delete(person);
    if (row?.affiliation === 'none') this.gone.set(person, row);
    if (row === undefined) this.floor = version;
    this.log?.push({ version, person });
    return { since, until: version };
  }

  /** Who has changed after a version, in that order, each once. `rows`: who has an affiliation. */
  changedAfter(version: number, rows: ReadonlyMap<BareJid, AffiliationRow>): Change[] {
    const log = this.logOf(rows);
    let low = 0;
    for (let high = log.length; low < high; ) {
      const middle = (low + high) >> 1;
      if (log[middle]!.version > version) high = middle;
      else low = middle + 1;
    }
    return log.slice(low).filter((change) => this.isLast(change, rows));
  }

  /** Those whose removal need not be remembered any more, and from which version on all is known without them. */
  forgettable(now: number): { readonly people: readonly BareJid[]; readonly floor: number } {
    const all = [...this.gone];
    const tooMany = all.length > MOST_REMOVED ? all.length - LEFT : 0;
    const old = all.slice(0, tooMany);
    for (const one of all.slice(tooMany)) if (now - one[1].at > LONGEST) old.push(one);
    const floor = old.reduce((highest, [, row]) => Math.max(highest, versionOf(row)), this.floor);
    return { people: old.map(([person]) => person), floor };
  }

  forget(people: readonly BareJid[]): void {
    for (const person of people) this.gone.delete(person);
    this.log = undefined;
  }

  private logOf(rows: ReadonlyMap<BareJid, AffiliationRow>): Change[] {
    const count = rows.size + this.gone.size;
    if (this.log !== undefined && this.log.length <= 2 * count + 100) return this.log;
    const all = [...rows, ...this.gone].map(([person, row]) => ({ person, version: versionOf(row) }));
    this.log = all.sort((one, other) => one.version - other.version);
    return this.log;
  }

  private isLast({ person, version }: Change, rows: ReadonlyMap<BareJid, AffiliationRow>): boolean {
    const row = rows.get(person) ?? this.gone.get(person);
    return row !== undefined && versionOf(row) === version;
  }
}

function versionOf({ version = 0 }: AffiliationRow): number {
  return version;
}
