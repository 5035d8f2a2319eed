// Accounts, as the portal shows and changes them (`/admin_api/users`). What is changed is changed by the administrative commands.
import type { Clock } from '../../base/clock.ts';
import type { Host } from '../../core/host.ts';
import { el } from '../../xml/element.ts';
import { Jid, prepareLocal } from '../../xmpp/jid.ts';
import { NS } from '../../xmpp/ns.ts';
import { roleOfScope, roleScope } from '../oauth/scopes.ts';
import { type PersonalNodes, pep } from '../pep/service.ts';
import { ApiError } from './errors.ts';

/** Runs an administrative command, of this host only. Rejects with CommandError. */
export type Run = (command: string, args: object) => Promise<Readonly<Record<string, unknown>>>;

export interface PeopleParts {
  readonly host: Host;
  readonly run: Run;
  readonly clock: Clock;
}

/** How many accounts are looked at at a time. */
const WIDTH = 8;
const OMEMO = 'eu.siacs.conversations.axolotl.devicelist';

export class People {
  private readonly parts: PeopleParts;

  constructor(parts: PeopleParts) {
    this.parts = parts;
  }

  async list(): Promise<readonly object[]> {
    const { accounts } = (await this.parts.run('user ls', { host: this.parts.host.domain })) as {
      accounts: readonly string[];
    };
    const found: object[] = [];
    const waiting = accounts[Symbol.iterator]();
    const worker = async (): Promise<void> => {
      for (const jid of waiting) {
        const shown = await this.find(jid.slice(0, jid.lastIndexOf('@')));
        // it may have gone meanwhile
        if (shown !== undefined) found.push(shown);
      }
    };
    await Promise.all(Array.from({ length: WIDTH }, worker));
    return found;
  }

  /** @throws ApiError */
  async show(name: string): Promise<object> {
    const found = await this.find(this.localOf(name));
    if (found === undefined) throw noUser();
    return found;
  }

  /** @throws ApiError, CommandError */
  async change(
    name: string,
    { username, display_name, role, enabled, ...others }: Readonly<Record<string, unknown>>,
  ): Promise<void> {
    const user = this.localOf(name);
    const { host, run } = this.parts;
    const jid = `${user}@${host.domain}`;
    const facts = await host.accounts.facts(user);
    if (facts === undefined) throw noUser();
    if (username !== undefined && username !== user)
      throw new ApiError('bad-request', 'The name of an account cannot be changed');
    const unknown = Object.keys(others).find((key) => others[key] !== null);
    if (unknown !== undefined) throw new ApiError('feature-not-implemented', `"${unknown}" cannot be changed here`);
    if (enabled !== undefined && typeof enabled !== 'boolean')
      throw new ApiError('bad-request', '"enabled" is true or false');
    const wanted = role === undefined || role === null ? undefined : roleOfScope(String(role));
    if (wanted === undefined && role !== undefined && role !== null)
      throw new ApiError('bad-request', `There is no role ${JSON.stringify(role)}`);
    if (wanted !== undefined && wanted !== (await host.roles.of(user))) await run('user role', { jid, role: wanted });
    if (enabled !== undefined && enabled === facts.isDisabled)
      await run(enabled ? 'user enable' : 'user disable', { jid });
    if (typeof display_name === 'string' && display_name !== (await this.nickOf(user))) {
      await this.nodes?.publish(user, NS.nick, el('nick', NS.nick, undefined, display_name), { id: 'current' });
    }
  }

  /** @throws CommandError */
  async remove(name: string): Promise<void> {
    await this.parts.run('user rm', { jid: `${this.localOf(name)}@${this.parts.host.domain}` });
  }

  /** What helps to find out why something does not work. @throws ApiError */
  async examine(name: string): Promise<object> {
    const user = this.localOf(name);
    const { run, host, clock } = this.parts;
    if (!(await host.accounts.exists(user))) throw noUser();
    const shown = await run('user show', { jid: `${user}@${host.domain}` });
    const [devices] = (await this.nodes?.items(user, OMEMO, { most: 1 })) ?? [];
    return {
      time: Math.floor(clock.now() / 1000),
      sessions: shown.sessions,
      clients: shown.clients,
      archive: shown.archive,
      omemo: { devices: devices?.payload?.getChildren('device').map(({ attrs }) => ({ id: Number(attrs.id) })) ?? [] },
    };
  }

  /** Where pictures and names are; missing where that module is off. */
  private get nodes(): PersonalNodes | undefined {
    return this.parts.host.find(pep);
  }

  private async find(user: string): Promise<object | undefined> {
    const { host } = this.parts;
    const facts = await host.accounts.facts(user);
    if (facts === undefined) return undefined;
    const [clients, display, pictures] = await Promise.all([
      host.accounts.clientsOf(user).catch(() => []),
      this.nickOf(user),
      this.picturesOf(user),
    ]);
    const seen = clients[0]?.lastSeen;
    return {
      jid: Jid.of(user, host.domain).bare,
      username: user,
      ...(display === undefined ? {} : { display_name: display }),
      role: roleScope((await host.roles.of(user)) ?? ''),
      secondary_roles: [],
      enabled: !facts.isDisabled,
      ...(seen === undefined ? {} : { last_active: Math.floor(seen / 1000) }),
      ...(pictures.length === 0 ? {} : { avatar_info: pictures }),
    };
  }

  private async nickOf(user: string): Promise<string | undefined> {
    const [item] = (await this.nodes?.items(user, NS.nick, { most: 1 })) ?? [];
    return item?.payload?.is('nick', NS.nick) ? item.payload.getText() : undefined;
  }

  private async picturesOf(user: string): Promise<readonly object[]> {
    const [item] = (await this.nodes?.items(user, NS.avatarMetadata, { most: 1 })) ?? [];
    const number = (text: string | undefined): number | undefined => (text === undefined ? undefined : Number(text));
    return (item?.payload?.getChildren('info') ?? []).map(({ attrs: { id, type, bytes, width, height } }) => ({
      hash: id,
      type,
      bytes: number(bytes),
      width: number(width),
      height: number(height),
    }));
  }

  private localOf(name: string): string {
    const user = prepareLocal(name);
    if (user === undefined) throw noUser();
    return user;
  }
}

const noUser = (): ApiError => new ApiError('item-not-found', 'User not found', 'user-not-found');
