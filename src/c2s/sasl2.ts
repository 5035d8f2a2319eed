// The Extensible SASL Profile (XEP-0388): <authenticate/>, <challenge/>, <response/>, tasks, <success/> or <failure/>.
//
// Not done, of what it recommends:
// - 2.4: white space between elements is not noticed, as it is nowhere in a stream
// - 5: the mechanisms are the same for everybody, known or not, and so need not be in random order; only accounts from elsewhere
//   that lack a key are told apart, for nobody could log in to them by what they lack (2.1)
// - 5: offered without TLS where `tls.required` is false, as SASL is; that is for load tests
import { decodeBase64 } from '../auth/base64.ts';
import { provesPassword } from '../auth/sasl.ts';
import { type Element, el } from '../xml/element.ts';
import { SaslError, StreamError } from '../xmpp/errors.ts';
import { NS } from '../xmpp/ns.ts';
import type { LoginAttempts } from './attempts.ts';
import { type LoginRequest, readRequest } from './sasl2-request.ts';
import { UpgradeTasks, upgradeFeatures } from './upgrade.ts';

/** Who is authenticated, and what the client asked for. */
export interface Login {
  readonly user: string;
  readonly mechanism: string;
  readonly isAnonymous: boolean;
  readonly request: LoginRequest;
  /** The account's, when the proof was verified: what is granted for it holds no longer than the password. */
  readonly epoch: number;
  /** The id of the token that was proved. */
  readonly token: string | undefined;
  /** What <success/> begins with. */
  readonly additionalData: readonly Element[];
}

export interface Sasl2Options {
  /** The bare JID in the stream's header. */
  readonly from: string | undefined;
  /** XEP-0509 2.1: what the client should know about us. */
  configVersion(): string | undefined;
  reply(answer: Element): void;
  /**
   * Lets the client in, and tells it.
   * @throws SaslError when that is not possible, and nothing has been told
   */
  complete(login: Login): Promise<void>;
}

export class Sasl2Negotiation {
  private readonly attempts: LoginAttempts;
  private readonly options: Sasl2Options;
  private request: LoginRequest | undefined;
  private pending: { readonly login: Login; readonly tasks: UpgradeTasks } | undefined;

  constructor(attempts: LoginAttempts, options: Sasl2Options) {
    this.attempts = attempts;
    this.options = options;
  }

  /** 2.4: nothing but SASL2 may come now. */
  get isUnderWay(): boolean {
    return this.request !== undefined;
  }

  /** The stream feature (2.1); undefined where there is no mechanism to offer. `inline` lists what can be asked for. */
  feature(inline: readonly Element[]): Element | undefined {
    const { offered, offeredForTokens, host } = this.attempts;
    if (offered.length === 0) return undefined;
    const mechanisms = offered.map((name) => el('mechanism', NS.sasl2, undefined, name));
    const forTokens = offeredForTokens.map((name) => el('mechanism', NS.fast, undefined, name));
    const all = forTokens.length === 0 ? inline : [...inline, el('fast', NS.fast, undefined, ...forTokens)];
    return el(
      'authentication',
      NS.sasl2,
      undefined,
      ...mechanisms,
      el('inline', NS.sasl2, undefined, ...all),
      ...(host.settings.authentication === 'accounts' ? upgradeFeatures() : []),
    );
  }

  /**
   * Takes an element of the SASL2 namespace.
   * @throws StreamError for what has no place here, and when there were too many failures
   */
  async take(element: Element): Promise<void> {
    this.attempts.use('SASL2');
    const { name } = element;
    // 2.4, 6.7: one at a time, and none after it was answered by <continue/>
    if (name !== 'abort' && this.isUnderWay === (name === 'authenticate')) {
      throw new StreamError('policy-violation', `<${name}/> has no place here`);
    }
    try {
      if (name === 'authenticate') await this.begin(element);
      else if (name === 'abort') throw new SaslError('aborted');
      else if (this.pending !== undefined) await this.work(this.pending, element);
      else if (name === 'response') await this.step(decode(element.getText()));
      else throw new StreamError('policy-violation', `<${name}/> has no place here`);
    } catch (error) {
      const { condition, text } = this.attempts.failed(error);
      this.fail(condition, text);
      this.attempts.checkFailures();
    }
  }

  private async begin(element: Element): Promise<void> {
    const wrongVersion = this.checkVersion(element.getChild('config-version', NS.iap));
    if (wrongVersion) return;
    const { attempts } = this;
    const request = readRequest(element, attempts.offeredForTokens);
    const { fast, agent } = request;
    const { accounts } = attempts.host;
    attempts.begin(request.mechanism, {
      ...(this.options.from === undefined ? {} : { from: this.options.from }),
      ...(fast === undefined || agent.id === undefined ? {} : { tokens: accounts.tokensOf(agent.id) }),
    });
    this.request = request;
    const initial = element.getChildText('initial-response');
    await this.step(initial === undefined ? undefined : decode(initial));
  }

  /** XEP-0509 2.2: somebody who knows another offer would perhaps choose differently. It costs no attempt. */
  private checkVersion(element: Element | undefined): boolean {
    if (element === undefined || element.attrs.value === this.options.configVersion()) return false;
    this.fail('aborted', 'What is offered here has changed', el('config-version-mismatch', NS.iap));
    return true;
  }

  private async step(data: Buffer | undefined): Promise<void> {
    const { request, attempts } = this;
    if (request === undefined) throw new SaslError('malformed-request', 'No exchange is under way');
    const step = await attempts.step(data);
    if ('challenge' in step) {
      this.options.reply(el('challenge', NS.sasl2, undefined, step.challenge.toString('base64')));
      return;
    }
    const { local: user, anonymous, epoch, token } = step.success;
    const mechanism = request.mechanism ?? '';
    const data64 = step.data?.toString('base64');
    const login: Login = {
      user,
      mechanism,
      isAnonymous: anonymous,
      request,
      epoch,
      token,
      additionalData: data64 === undefined ? [] : [el('additional-data', NS.sasl2, undefined, data64)],
    };
    // a token is no password, and makes no new one
    const missing =
      request.upgrades.length > 0 && provesPassword(mechanism) ? await attempts.host.accounts.missingKeys(user) : [];
    const tasks = new UpgradeTasks(
      attempts.host.accounts,
      user,
      login.epoch,
      missing.filter((hash) => request.upgrades.includes(hash)),
    );
    await this.goOn(login, tasks);
  }

  private async work({ login, tasks }: { login: Login; tasks: UpgradeTasks }, element: Element): Promise<void> {
    const answer = await tasks.take(element);
    if (answer !== undefined) this.options.reply(answer);
    // 2.6.1: the additional data went out with the first <continue/>
    else await this.goOn({ ...login, additionalData: [] }, tasks);
  }

  /** 2.6.3: sets the next task; when there is none left, the client is let in. */
  private async goOn(login: Login, tasks: UpgradeTasks): Promise<void> {
    const { task } = tasks;
    if (task !== undefined) {
      this.pending = { login, tasks };
      const list = el('tasks', NS.sasl2, undefined, el('task', NS.sasl2, undefined, task));
      this.options.reply(el('continue', NS.sasl2, undefined, ...login.additionalData, list));
      return;
    }
    await this.options.complete(login);
    this.attempts.succeeded(login.user, login.mechanism);
    this.request = undefined;
  }

  private fail(condition: SaslError['condition'], text: string | undefined, detail?: Element): void {
    this.request = undefined;
    this.pending = undefined;
    this.options.reply(
      el(
        'failure',
        NS.sasl2,
        undefined,
        el(condition, NS.sasl),
        ...(detail === undefined ? [] : [detail]),
        ...(text === undefined ? [] : [el('text', NS.sasl2, { 'xml:lang': 'en' }, text)]),
      ),
    );
  }
}

/** 2.6.1: `<success/>`; `answers` are what became of all that was asked for with the login. */
export function successOf(login: Login, identity: string, answers: readonly (Element | undefined)[]): Element {
  return el(
    'success',
    NS.sasl2,
    undefined,
    ...login.additionalData,
    el('authorization-identifier', NS.sasl2, undefined, identity),
    ...answers.filter((answer) => answer !== undefined),
  );
}

/** 2.2: an empty element is an empty message; there is no "=". White space should not be there. @throws SaslError `incorrect-encoding` */
function decode(text: string): Buffer {
  const data = decodeBase64(text.replace(/[ \t\r\n]+/g, ''));
  if (data === undefined) throw new SaslError('incorrect-encoding', 'This is not base64');
  return data;
}
