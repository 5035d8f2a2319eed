// Reads one account out of a file (XEP-0227 4.2): what each of its children is for, and what became of it.
import { randomBytes } from 'node:crypto';
import { AccountError } from '../../auth/accounts.ts';
import type { ScramCredentials, ScramHash } from '../../auth/credentials.ts';
import type { Host } from '../../core/host.ts';
import type { Notes, Portion, PortionReader, Reading } from '../../core/portion.ts';
import type { AccountReport } from '../../core/transfer.ts';
import type { Element } from '../../xml/element.ts';
import { StanzaError } from '../../xmpp/errors.ts';
import { Jid, prepareLocal } from '../../xmpp/jid.ts';
import { NS } from '../../xmpp/ns.ts';
import { hasKeys, readCredentials } from './credentials.ts';

/** Lines about one account, at most; then only their number counts. */
const MOST_LINES = 50;

/** Writes down what became of an account. */
class Report implements Notes, AccountReport {
  readonly jid: string;
  state: AccountReport['state'] = 'added';
  readonly counts: Record<string, { added: number; same: number; kept: number; ignored: number }> = {};
  readonly lines: string[] = [];

  constructor(jid: string) {
    this.jid = jid;
  }

  added(what: string, count = 1): void {
    this.of(what).added += count;
  }

  same(what: string, count = 1): void {
    this.of(what).same += count;
  }

  kept(what: string, detail: string): void {
    this.of(what).kept++;
    this.line(`${what}: what is here stays (${detail})`);
  }

  ignored(what: string, detail: string): void {
    this.of(what).ignored++;
    this.line(`${what}: not taken (${detail})`);
  }

  private of(what: string) {
    this.counts[what] ??= { added: 0, same: 0, kept: 0, ignored: 0 };
    return this.counts[what];
  }

  private line(text: string): void {
    if (this.lines.length < MOST_LINES) this.lines.push(text.slice(0, 500));
  }
}

export class UserReader {
  readonly report: Report;
  private readonly host: Host;
  private readonly portions: readonly Portion[];
  private readonly isDry: boolean;
  private readonly password: string | undefined;
  private readonly keys: { -readonly [H in ScramHash]?: ScramCredentials } = {};
  private isDisabled = false;
  /** The account is there, or would be. */
  private isReady = false;
  private readers = new Map<Portion, PortionReader>();
  private reading: Reading | undefined;
  private readonly local: string | undefined;

  constructor(host: Host, portions: readonly Portion[], tag: Element, isDry: boolean) {
    const { name = '', password } = tag.attrs;
    this.host = host;
    this.portions = portions;
    this.isDry = isDry;
    this.password = password;
    this.local = prepareLocal(name);
    this.report = new Report(`${this.local ?? name}@${host.domain}`);
    if (this.local === undefined) this.refuse('it cannot be the name of an account');
  }

  /** Whether an element is read by its children. */
  opens(tag: Element, around: readonly Element[]): boolean {
    return this.portionOf(around[0] ?? tag)?.opens?.(tag, around) ?? false;
  }

  async take(element: Element, around: readonly Element[]): Promise<void> {
    if (this.report.state === 'refused') return;
    if (around.length === 0 && this.takeOwn(element)) return;
    const portion = this.portionOf(around[0] ?? element);
    if (portion === undefined) {
      this.report.ignored('other data', `<${element.name} xmlns='${element.ns ?? NS.client}'/>`);
      return;
    }
    await this.begin();
    await this.guarded(() => this.readerOf(portion)?.take(element, around));
  }

  async close(tag: Element, around: readonly Element[]): Promise<void> {
    const portion = this.portionOf(around[0] ?? tag);
    if (portion !== undefined) await this.guarded(() => this.readers.get(portion)?.close?.(tag, around));
  }

  async end(): Promise<void> {
    await this.begin();
    for (const portion of this.portions) await this.guarded(() => this.readers.get(portion)?.end?.());
    if (this.isDisabled && this.report.state === 'added' && !this.isDry) await this.host.accounts.disable(this.local!);
  }

  /** What belongs to the account itself. */
  private takeOwn(element: Element): boolean {
    if (element.is('scram-credentials', NS.pieScram)) {
      const read = readCredentials(element);
      if (read === undefined) this.report.ignored('keys', element.attrs.mechanism ?? 'without a mechanism');
      else if (this.isReady) this.keysCameLate(read[0]);
      else this.keys[read[0]] = read[1];
      return true;
    }
    if (!element.is('account', NS.exported)) return false;
    this.isDisabled = element.attrs.disabled === 'true';
    return true;
  }

  private keysCameLate(hash: ScramHash): void {
    this.report.ignored('keys', `those for ${hash} stand behind what they are to come before`);
  }

  /** The account is needed now: keys come first. */
  private async begin(): Promise<void> {
    if (this.isReady || this.report.state === 'refused') return;
    this.isReady = true;
    const { accounts } = this.host;
    const name = this.local!;
    try {
      if (await accounts.exists(name)) {
        this.report.state = 'there';
        const isSame =
          this.password === undefined
            ? await hasKeys(accounts, name, this.keys)
            : await accounts.verifyPlain(name, this.password);
        if (isSame) this.report.same('keys');
        else this.report.kept('keys', 'another password');
      } else await this.create(name);
    } catch (error) {
      if (!(error instanceof AccountError)) throw error;
      this.refuse(error.message);
    }
  }

  private async create(name: string): Promise<void> {
    const { accounts } = this.host;
    const hasAny = Object.keys(this.keys).length > 0;
    if (hasAny || this.password !== undefined) this.report.added('keys');
    else this.report.ignored('keys', 'there are none: nobody can log in before a password is set');
    if (this.isDry) return;
    if (hasAny) await accounts.createWithKeys(name, this.keys);
    else await accounts.create(name, this.password ?? randomBytes(32).toString('base64url'));
  }

  private refuse(why: string): void {
    this.report.state = 'refused';
    this.report.ignored('account', why);
  }

  private portionOf(element: Element): Portion | undefined {
    return this.portions.find((one) => one.takes(element));
  }

  private readerOf(portion: Portion): PortionReader | undefined {
    if (this.report.state === 'refused') return undefined;
    this.reading ??= { user: Jid.of(this.local!, this.host.domain), notes: this.report, isDry: this.isDry };
    let reader = this.readers.get(portion);
    if (reader === undefined) {
      reader = portion.read(this.reading);
      this.readers.set(portion, reader);
    }
    return reader;
  }

  /** What a part refuses does not end the whole. */
  private async guarded(work: () => unknown): Promise<void> {
    try {
      await work();
    } catch (error) {
      if (!(error instanceof StanzaError)) throw error;
      this.report.ignored('other data', error.text ?? error.condition);
    }
  }
}
