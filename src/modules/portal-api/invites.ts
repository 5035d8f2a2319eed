// Invitations, as the portal shows and makes them (`/admin_api/invites`), and as whoever has one uses it (`/register_api`).

import type { Host } from '../../core/host.ts';
import type { AdminInvitations, Invitation } from '../../core/invitations.ts';
import type { WebReply, WebRequest } from '../../core/web.ts';
import { type InvitationProblem, InvitationRefusal, type Invitations } from '../invitations/service.ts';
import { roleOfScope, roleScope } from '../oauth/scopes.ts';
import { ApiError, json, readJson } from './errors.ts';
import type { Run } from './people.ts';

/** How many may use an invitation for a group. */
const GROUP_USES = 100;

export interface InvitesParts {
  readonly host: Host;
  readonly run: Run;
  readonly invitations: () => Invitations;
  /** Those that administrators of the host may see. */
  readonly shown: () => Promise<AdminInvitations>;
}

export class Invites {
  private readonly parts: InvitesParts;

  constructor(parts: InvitesParts) {
    this.parts = parts;
  }

  /** Those that can be used, the oldest first. */
  async list(): Promise<readonly object[]> {
    const open = (await (await this.parts.shown()).list()).filter(({ state }) => state === 'open');
    return open.reverse().map((one) => this.told(one));
  }

  /** @throws ApiError */
  async show(token: string): Promise<object> {
    return this.told(await this.find(await this.parts.shown(), token));
  }

  /** @throws ApiError, CommandError */
  async create(kind: string, given: Readonly<Record<string, unknown>>, by: string): Promise<object> {
    const { username, ttl, note, groups, roles } = given;
    if (kind !== 'account' && kind !== 'group' && kind !== 'reset')
      throw new ApiError('bad-request', 'Unknown invitation type');
    const { host, run } = this.parts;
    // the portal sends it as its form has it: as text
    const lifetime = ttl === undefined || ttl === null ? undefined : Number(ttl);
    if (lifetime !== undefined && !(lifetime > 0 && Number.isFinite(lifetime)))
      throw new ApiError('bad-request', '"ttl" is a number of seconds');
    const common = {
      ...(lifetime === undefined ? {} : { ttl: `${Math.ceil(lifetime)}s` }),
      ...(typeof note === 'string' && note !== '' ? { note } : {}),
      source: by,
    };
    if (kind === 'reset') {
      if (typeof username !== 'string') throw new ApiError('bad-request', 'Whose password?');
      return this.made(await run('invite', { reset: `${username}@${host.domain}`, ...common }));
    }
    const named = typeof username === 'string' ? { user: username } : {};
    return this.made(
      await run('invite', {
        host: host.domain,
        ...(kind === 'group' ? { uses: GROUP_USES } : named),
        ...this.roleIn(roles),
        ...(Array.isArray(groups) && groups.length > 0 ? { group: groups.map(String) } : {}),
        ...common,
      }),
    );
  }

  /** @throws CommandError */
  async revoke(token: string): Promise<void> {
    await this.parts.run('invite revoke', { token, host: this.parts.host.domain });
  }

  /** For whoever has the link. @throws ApiError */
  async look(token: string): Promise<object> {
    const one = await this.explained(() => this.parts.invitations().open(token));
    const { host } = this.parts;
    return {
      site_name: host.domain,
      token: one.token,
      domain: host.domain,
      uri: one.uri,
      type: typeOf(one),
      jid: this.jidOf(one),
      ...(one.inviter === undefined ? {} : { inviter: one.inviter }),
      created_at: seconds(one.created),
      expires: seconds(one.expires),
      // whose password it is to be
      ...(one.kind === 'reset' ? { reset: one.user } : {}),
    };
  }

  /** Somebody does not want it. @throws ApiError */
  async reject(token: string): Promise<void> {
    const one = await this.find(this.parts.invitations(), token);
    if (one.uses > 1 || one.kind !== 'account') throw new ApiError('forbidden', 'It is not for one person alone');
    await this.parts.invitations().revoke(token);
  }

  /** @throws ApiError */
  async register(request: WebRequest): Promise<WebReply> {
    const { username, password, token } = await readJson(request);
    const isName = username === undefined || username === null || typeof username === 'string';
    if (!isName || typeof password !== 'string' || typeof token !== 'string')
      throw new ApiError('bad-request', 'A name, a password and a token are needed');
    const user = typeof username === 'string' ? { user: username } : {};
    const done = await this.explained(() => this.parts.invitations().redeem({ token, password, ...user }));
    return json(200, { jid: `${done.user}@${this.parts.host.domain}` });
  }

  private async find(among: AdminInvitations, token: string): Promise<Invitation> {
    const found = await among.show(token);
    if (found === undefined || found.state !== 'open') throw noInvite();
    return found;
  }

  private async made({ token }: Readonly<Record<string, unknown>>): Promise<object> {
    return this.show(String(token));
  }

  private roleIn(roles: unknown): { readonly role?: string } {
    if (!Array.isArray(roles) || roles.length === 0) return {};
    const role = roleOfScope(String(roles[0]));
    if (role === undefined || roles.length > 1) throw new ApiError('bad-request', 'There is no such role');
    return { role };
  }

  private told(one: Invitation): object {
    return {
      id: one.token,
      type: typeOf(one),
      reusable: one.uses > 1,
      inviter: one.inviter,
      jid: this.jidOf(one),
      uri: one.uri,
      xmpp_uri: one.uri,
      landing_page: one.page,
      created_at: seconds(one.created),
      expires: seconds(one.expires),
      groups: one.groups,
      roles: one.role === undefined ? [] : [roleScope(one.role)],
      source: one.source,
      reset: one.kind === 'reset',
      note: one.note,
    };
  }

  private jidOf({ user, inviter, kind }: Invitation): string {
    const { domain } = this.parts.host;
    if (kind === 'contact') return inviter ?? domain;
    return user === undefined ? domain : `${user}@${domain}`;
  }

  /** Refusals as the portal tells them apart, by status. */
  private async explained<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      if (!(error instanceof InvitationRefusal)) throw error;
      throw new ApiError(conditions[error.problem], error.message);
    }
  }
}

const typeOf = ({ kind }: Invitation): string => (kind === 'contact' ? 'roster' : 'register');
const seconds = (ms: number): number => Math.floor(ms / 1000);
const noInvite = (): ApiError => new ApiError('item-not-found', 'There is no such invitation');

const conditions: Readonly<Record<InvitationProblem, ConstructorParameters<typeof ApiError>[0]>> = {
  unknown: 'item-not-found',
  expired: 'item-not-found',
  used: 'item-not-found',
  revoked: 'item-not-found',
  busy: 'resource-constraint',
  'not-allowed': 'forbidden',
  taken: 'conflict',
  'invalid-name': 'bad-request',
  'invalid-password': 'bad-request',
  'weak-password': 'bad-request',
  'no-account': 'item-not-found',
  'too-many': 'policy-violation',
  'bad-request': 'bad-request',
};
