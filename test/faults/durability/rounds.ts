// The rounds of the tests of durability. In each, senders send to everybody at full load, something breaks at a random moment, and
// afterwards the books must balance: what was acknowledged is there, once, in order.
import type { Cut } from '../../../bench/load/client.ts';
import { until } from '../../kit/child-server.ts';
import { pause } from '../kit.ts';
import { Ledger, type Verdict } from './ledger.ts';
import { Person } from './person.ts';
import type { Subject } from './subject.ts';

export const roundNames = ['server', 'database', 'cuts', 'frozen', 'down'] as const;
/** Killed: the server, its database. Cut: connections, over and over. The database stands still, or is shut down. */
export type RoundName = (typeof roundNames)[number];

export interface Crowd {
  readonly senders: number;
  readonly recipients: number;
}

export interface Round {
  readonly verdict: Verdict;
  /** What else went wrong: connections that ended, sessions that could not be resumed. */
  readonly failures: readonly string[];
  /** What happened, for the line that is printed. */
  readonly note: string;
}

const CUTS: readonly Cut[] = ['fin', 'reset', 'silent'];
const PATIENCE = 30_000;
const QUIET = 400;
/** While the database is away everybody sends so often in a second, and so many messages. */
const TICKS = 2;
const TALK = 3;
/** How long deliveries may pause, in seconds: one who has sent a lot is held up for a moment, until the database counts as away. */
const SILENCE = 2;

export class Trial {
  private readonly subject: Subject;
  private readonly random: () => number;
  private readonly ledger = new Ledger();
  private readonly senders: Person[];
  private readonly recipients: Person[];
  private round = 0;
  private failures: string[] = [];
  /** What each archive held by the books of all rounds. */
  private readonly archived = new Map<Person, number>();

  constructor(subject: Subject, crowd: Crowd, random: () => number) {
    this.subject = subject;
    this.random = random;
    const person = (_: unknown, i: number) => new Person(i + 1, subject.target, this.ledger);
    const people = Array.from({ length: crowd.senders + crowd.recipients }, person);
    this.senders = people.slice(0, crowd.senders);
    this.recipients = people.slice(crowd.senders);
  }

  /** One round; `seconds` is how long the load lasts, or the outage. */
  async run(name: RoundName, seconds: number): Promise<Round> {
    this.round++;
    this.failures = [];
    for (const person of this.everybody()) person.losses.length = 0;
    switch (name) {
      case 'server':
        return this.killServer(seconds);
      case 'database':
        return this.breakDatabase('killed', seconds);
      case 'cuts':
        return this.cutConnections(seconds);
      case 'frozen':
      case 'down':
        return this.breakDatabase(name, seconds);
    }
  }

  /** Reads every archive once more from its beginning: what was there in some round still is, and only that. */
  async recount(): Promise<string[]> {
    const wrong: string[] = [];
    for (const person of this.everybody()) {
      await person.logIn(false);
      const n = await person.catchUp(true);
      await person.client.close();
      const expected = this.archived.get(person) ?? 0;
      if (n !== expected) wrong.push(`the archive of user${person.number} holds ${n} messages, not ${expected}`);
    }
    return wrong;
  }

  private async killServer(seconds: number): Promise<Round> {
    const { online, asleep } = await this.gather();
    await this.startTalking();
    const moment = 0.2 + this.random() * seconds;
    await pause(moment * 1000);
    await this.subject.kill();
    this.stopTalking();
    const before = performance.now();
    await this.subject.start();
    const took = performance.now() - before;
    for (const person of this.everybody()) person.moveTo(this.subject.target);
    let resumed = 0;
    for (const person of [...online, ...asleep]) {
      // a client tries that first; a server that was killed may have forgotten the session
      if (await this.takeUp(person)) resumed++;
    }
    await this.readArchives();
    await this.disperse();
    const note = `killed after ${moment.toFixed(2)} s, started in ${(took / 1000).toFixed(2)} s, ${resumed} resumed`;
    return this.done(note);
  }

  private async cutConnections(seconds: number): Promise<Round> {
    // everybody talks to everybody, and nobody is offline
    const everybody = this.everybody();
    for (const person of everybody) await person.logIn(true);
    const numbers = everybody.map((person) => person.number);
    for (const person of everybody) person.recipients = numbers.filter((number) => number !== person.number);
    for (const person of everybody) person.isTalking = true;
    for (const person of everybody) person.talk();
    const end = performance.now() + seconds * 1000;
    let cuts = 0;
    const live = async (person: Person): Promise<void> => {
      while (performance.now() < end) {
        await pause(50 + this.random() * 700);
        cuts++;
        person.cut(this.pick(CUTS));
        await pause(this.random() ** 2 * 500);
        // now and then the new connection breaks while it resumes
        if (this.random() < 0.25) {
          const attempt = person.resume().then(
            () => true,
            () => false,
          );
          await pause(this.random() * 30);
          person.cut(this.pick(['fin', 'reset']));
          await attempt;
          cuts++;
        }
        try {
          await person.resume();
        } catch (error) {
          this.failures.push(`user${person.number}: ${error}`);
          return;
        }
      }
    };
    await Promise.all(everybody.map(live));
    for (const person of everybody) person.isTalking = false;
    await this.drain(() => true);
    await this.readArchives();
    await this.disperse();
    return this.done(`${cuts} connections cut`, () => true);
  }

  private async breakDatabase(how: 'killed' | 'frozen' | 'down', seconds: number): Promise<Round> {
    const { database } = this.subject;
    const { online, asleep } = await this.gather();
    // a message that waits for the database holds up those behind it: every other sender has nobody to write to who is away
    await this.startTalking(how === 'killed' ? [] : online);
    await pause(200 + this.random() * 1000);
    if (how === 'killed') await database.kill();
    else if (how === 'down') await database.shutDown();
    else database.freeze();
    const isOutage = how !== 'killed';
    const during = isOutage ? await this.talkMeanwhile(online, seconds) : 0;
    if (how === 'frozen') database.thaw();
    else await database.start();
    const before = performance.now();
    await pause(500);
    this.stopTalking();
    let tooLate = 0;
    for (const person of asleep) {
      // what was sent meanwhile may be more than a session that sleeps may hold: then all of it waits offline
      const isBack = await this.takeUp(person);
      if (isBack) continue;
      tooLate++;
      await person.logIn(false);
      person.becomePresent();
    }
    const awake = new Set([...online, ...asleep].map((person) => person.number));
    await this.drain((number) => awake.has(number));
    const took = performance.now() - before;
    for (const person of [...online, ...this.senders]) {
      for (const loss of person.losses) this.failures.push(`user${person.number}: ${loss}`);
    }
    await this.readArchives();
    await this.disperse();
    const meanwhile = isOutage ? ` for ${seconds} s, ${during} delivered to ${online.length} meanwhile` : '';
    const late = tooLate > 0 ? `, ${tooLate} too late to resume` : '';
    const note = `database ${how}${meanwhile}, settled after ${(took / 1000).toFixed(2)} s${late}`;
    return this.done(note, (number) => awake.has(number));
  }

  /**
   * Acknowledgements wait for the database, so that the windows are full soon: people go on talking all the same, and those who
   * are online hear them. Returns how many messages these got.
   */
  private async talkMeanwhile(online: readonly Person[], seconds: number): Promise<number> {
    const heard = (): number => online.reduce((sum, person) => sum + person.messages, 0);
    const before = heard();
    let last = before;
    for (let tick = 1; tick <= seconds * TICKS; tick++) {
      await pause(1000 / TICKS);
      for (const sender of this.senders) if (sender.client.isConnected) sender.say(TALK);
      if (tick % (SILENCE * TICKS) > 0) continue;
      if (heard() === last) this.failures.push(`nothing was delivered up to second ${tick / TICKS} of the outage`);
      last = heard();
    }
    return heard() - before;
  }

  /** Senders come in, a third of the recipients, too; a third has come in and lost the connection, a third is not there. */
  private async gather(): Promise<{ readonly online: Person[]; readonly asleep: Person[] }> {
    const role = (which: number) => this.recipients.filter((_, i) => (i + this.round) % 3 === which);
    const [online, asleep] = [role(0), role(1)];
    for (const person of [...online, ...asleep, ...this.senders]) await person.logIn(true);
    for (const person of asleep) person.cut(this.pick(CUTS));
    return { online, asleep };
  }

  /** To everybody; every other sender to `some` only, if there are any. Settled when acknowledgements have begun to come. */
  private async startTalking(some: readonly Person[] = []): Promise<void> {
    const numbersOf = (people: readonly Person[]) => people.map((person) => person.number);
    for (const [i, sender] of this.senders.entries()) {
      sender.recipients = numbersOf(i % 2 === 0 && some.length > 0 ? some : this.recipients);
    }
    for (const sender of this.senders) sender.isTalking = true;
    for (const sender of this.senders) sender.talk();
    const isUnderWay = (): boolean => this.ledger.open < this.ledger.sent;
    if (!(await until(PATIENCE, isUnderWay))) this.failures.push('nothing was acknowledged before anything broke');
  }

  private stopTalking(): void {
    for (const sender of this.senders) sender.isTalking = false;
  }

  /** Resumes; false when the session is no more, which is left to be judged elsewhere. */
  private async takeUp(person: Person): Promise<boolean> {
    try {
      await person.resume();
      return true;
    } catch (error) {
      if (!/item-not-found/.test(String(error))) this.failures.push(`user${person.number}: ${error}`);
      return false;
    }
  }

  /** Waits until everything is acknowledged or refused, and has come to those for whom it holds. */
  private async drain(isAwaited: (person: number) => boolean): Promise<void> {
    for (const deadline = performance.now() + PATIENCE; performance.now() < deadline; ) {
      if (this.ledger.open === 0 && this.ledger.waiting(isAwaited) === 0) break;
      await pause(100);
      for (const person of this.everybody()) person.ask();
    }
    if (this.ledger.open > 0) this.failures.push(`${this.ledger.open} messages were never acknowledged`);
  }

  /** Everybody reads the archive; those who are not back on their sessions take what waited offline, too. */
  private async readArchives(): Promise<void> {
    for (const person of this.everybody()) {
      if (person.client.isConnected) {
        await this.remember(person);
        continue;
      }
      await person.logIn(false);
      await this.remember(person);
      if (this.recipients.includes(person)) person.becomePresent();
    }
    await this.quiet();
  }

  /** Waits until nothing more comes. */
  private async quiet(): Promise<void> {
    const heard = (): number => this.everybody().reduce((sum, person) => sum + person.messages, 0);
    for (const deadline = performance.now() + PATIENCE; performance.now() < deadline; ) {
      const before = heard();
      await pause(QUIET);
      for (const person of this.everybody()) if (person.client.isConnected) await person.client.ping();
      if (heard() === before) return;
    }
    this.failures.push('messages came without an end');
  }

  private async remember(person: Person): Promise<void> {
    const n = await person.catchUp();
    this.archived.set(person, (this.archived.get(person) ?? 0) + n);
  }

  private async disperse(): Promise<void> {
    await Promise.all(this.everybody().map((person) => person.client.close()));
  }

  private done(note: string, isDue?: (person: number) => boolean): Round {
    return { verdict: this.ledger.settle(isDue), failures: this.failures, note };
  }

  private everybody(): Person[] {
    return [...this.senders, ...this.recipients];
  }

  private pick<T>(items: readonly T[]): T {
    return items[Math.floor(this.random() * items.length)]!;
  }
}
