// The device authorization grant (RFC 8628): something without a keyboard shows a code, and somebody lets it in with a browser.
import { randomInt } from 'node:crypto';
import { type TokenRow, Tokens } from '../../auth/tokens.ts';
import type { Clock } from '../../base/clock.ts';
import { LruCache } from '../../base/lru.ts';
import type { WebReply, WebRequest } from '../../core/web.ts';
import type { EphemeralStore, MapStore } from '../../storage/ports.ts';
import type { RegisteredClient } from './clients.ts';
import { OAuthError, reply } from './errors.ts';
import { readForm } from './forms.ts';
import { codeQuestion, notice, question } from './pages.ts';
import { type Door, verify } from './people.ts';
import { grantable } from './scopes.ts';

/** What a device has asked for, and what came of it. */
export interface DeviceGrant {
  readonly client: string;
  readonly name: string;
  readonly scopes: readonly string[];
  readonly state: 'waiting' | 'denied' | 'allowed';
  readonly user?: string;
  readonly epoch?: number;
}
/** What is known of a code that is shown, for who types it. */
export interface ShownCode {
  /** The id of the device's own code. */
  readonly id: string;
  readonly client: { readonly client_name: string; readonly client_uri: string };
  readonly scopes: readonly string[];
}

export interface DeviceParts extends Door {
  readonly grants: MapStore<TokenRow<DeviceGrant>>;
  readonly codes: EphemeralStore<ShownCode>;
  readonly clock: Clock;
  readonly url: (path: string) => string | undefined;
}

/** How long a code is good, and how often a device may ask; milliseconds. */
const LIFETIME = 10 * 60_000;
const INTERVAL = 5_000;
/** Letters that make no words, and are not mistaken for others (RFC 8628 6.1): 20^8 codes. */
const LETTERS = 'BCDFGHJKLMNPQRSTVWXZ';
const REMEMBERED = 10_000;
export const DEVICE_PATH = '/oauth2/device';
export const APPROVE_PATH = '/oauth2/device/approve';

export class Devices {
  private readonly parts: DeviceParts;
  private readonly grants: Tokens<DeviceGrant>;
  /** When a device has asked last; each node counts by itself. */
  private readonly asked = new LruCache<string, number>(REMEMBERED);

  constructor(parts: DeviceParts) {
    this.parts = parts;
    this.grants = new Tokens(parts.grants, parts.clock);
  }

  /** RFC 8628 3.1, 3.2. */
  async begin(client: RegisteredClient, scopes: readonly string[]): Promise<WebReply> {
    await this.grants.prune('');
    const grant: DeviceGrant = { client: client.hash, name: client.client_name, scopes, state: 'waiting' };
    const { id, text } = await this.grants.issue('', grant, LIFETIME);
    const letters = Array.from({ length: 8 }, () => LETTERS[randomInt(LETTERS.length)]).join('');
    const { client_name, client_uri } = client;
    await this.parts.codes.set('', letters, { id, client: { client_name, client_uri }, scopes }, LIFETIME);
    const code = `${letters.slice(0, 4)}-${letters.slice(4)}`;
    const address = this.parts.url(DEVICE_PATH) ?? DEVICE_PATH;
    return reply(200, {
      device_code: text,
      user_code: code,
      verification_uri: address,
      verification_uri_complete: `${address}?user_code=${code}`,
      expires_in: LIFETIME / 1000,
      interval: INTERVAL / 1000,
    });
  }

  /** The page for who has a code in view. */
  async show(request: WebRequest): Promise<WebReply> {
    const given = request.query.get('user_code');
    if (given === null) return codeQuestion(DEVICE_PATH);
    const shown = await this.find(request, given);
    return shown === undefined ? wrongCode() : this.ask(shown, given);
  }

  /** What is said on it. */
  async approve(request: WebRequest): Promise<WebReply> {
    const form = await readForm(request);
    const given = form.user_code ?? '';
    const shown = await this.find(request, given);
    if (shown === undefined) return wrongCode();
    if (form.decision !== 'allow') {
      await this.decide(given, shown, (grant) => ({ ...grant, state: 'denied' }));
      return notice(200, 'Nobody was let in', 'You may close this page.');
    }
    const person = await verify(this.parts, request.peer, form.username ?? '', form.password ?? '');
    if (typeof person === 'string') {
      const why =
        person === 'wrong'
          ? 'The name or the password is wrong.'
          : 'There were too many attempts. Wait a quarter of an hour.';
      return this.ask(shown, given, why, form.username);
    }
    const scopes = grantable(shown.scopes, person);
    if (scopes.length === 0)
      return notice(403, 'This does not work', 'The device asks for something that you may not give.');
    const { user, epoch } = person;
    await this.decide(given, shown, (grant) => ({ ...grant, scopes, user, epoch, state: 'allowed' }));
    return notice(200, 'Allowed', `${shown.client.client_name} is in. You may close this page.`);
  }

  /** RFC 8628 3.4, 3.5: what became of it; once. @throws OAuthError */
  async redeem(
    client: RegisteredClient,
    code: string,
  ): Promise<{ readonly user: string; readonly epoch: number; readonly scopes: readonly string[] }> {
    const token = await this.grants.find(code);
    if (token === undefined || token.grant.client !== client.hash)
      throw new OAuthError('expired_token', 'the code is none, or none any more');
    const { state, user, epoch, scopes } = token.grant;
    const now = this.parts.clock.now();
    const last = this.asked.get(token.id);
    this.asked.set(token.id, now);
    if (state === 'waiting') {
      const isHasty = last !== undefined && now - last < INTERVAL - 500;
      throw new OAuthError(
        isHasty ? 'slow_down' : 'authorization_pending',
        'nobody has said yet whether it may come in',
      );
    }
    const isFirst = await this.grants.revoke('', token.id);
    if (!isFirst) throw new OAuthError('expired_token', 'the code was used');
    if (state === 'denied' || user === undefined || epoch === undefined)
      throw new OAuthError('access_denied', 'it may not come in');
    return { user, epoch, scopes };
  }

  private async decide(given: string, { id }: ShownCode, change: (grant: DeviceGrant) => DeviceGrant): Promise<void> {
    await this.parts.codes.set('', lettersOf(given), undefined, 0);
    // what was said once holds
    await this.grants.change('', id, (grant) => (grant.state === 'waiting' ? change(grant) : grant));
  }

  /** Whoever tries codes is slowed down as those who try passwords. */
  private async find(request: WebRequest, given: string): Promise<ShownCode | undefined> {
    const { host, throttle, codes } = this.parts;
    const attempt = host.settings.limits.enabled
      ? throttle.begin(request.peer.address, `a device at ${host.domain}`)
      : undefined;
    if (attempt?.isRefused) return undefined;
    try {
      const shown = await codes.get('', lettersOf(given));
      if (shown === undefined) await attempt?.failed().delay;
      return shown;
    } finally {
      attempt?.release();
    }
  }

  private ask({ client, scopes }: ShownCode, code: string, problem?: string, name?: string): WebReply {
    return question({
      domain: this.parts.host.domain,
      client,
      scopes,
      action: APPROVE_PATH,
      hidden: { user_code: code },
      ...(problem === undefined ? {} : { problem }),
      ...(name === undefined ? {} : { name }),
    });
  }
}

/** What people type, in whatever way. */
const lettersOf = (code: string): string =>
  code
    .toUpperCase()
    .replace(/[^A-Z]/g, '')
    .slice(0, 20);
const wrongCode = (): WebReply => codeQuestion(DEVICE_PATH, 'This code is not known, or not any more.');
