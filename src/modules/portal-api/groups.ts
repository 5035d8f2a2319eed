// Circles, which the portal calls groups (`/admin_api/groups`).
import type { AdminCircles, Circle } from '../../core/circles.ts';
import { CommandError } from '../../core/commands.ts';
import type { Host } from '../../core/host.ts';
import { ApiError } from './errors.ts';
import type { Run } from './people.ts';

export interface GroupsParts {
  readonly host: Host;
  readonly run: Run;
  /** Undefined where the module is off: there are none then, and none can be made. */
  readonly circles: () => AdminCircles | undefined;
}

type Fields = Readonly<Record<string, unknown>>;

export class Groups {
  private readonly parts: GroupsParts;

  constructor(parts: GroupsParts) {
    this.parts = parts;
  }

  async list(): Promise<readonly object[]> {
    return ((await this.parts.circles()?.list()) ?? []).map(told);
  }

  /** @throws ApiError */
  async show(id: string): Promise<object> {
    const circle = await this.parts.circles()?.show(id);
    if (circle === undefined) throw noGroup();
    return told(circle);
  }

  /** The ids of those that somebody is in. */
  async of(user: string): Promise<readonly string[]> {
    const all = (await this.parts.circles()?.list()) ?? [];
    return all.filter(({ members }) => members.includes(user)).map(({ id }) => id);
  }

  /** @throws ApiError, CommandError */
  async create({ name, create_muc }: Fields): Promise<object> {
    const made = await this.change('circle create', { name: named(name) });
    const id = String(made.id);
    if (create_muc === true) await this.change('circle chat add', { id, name: named(name) });
    return this.show(id);
  }

  /** @throws ApiError, CommandError */
  async rename(id: string, { name }: Fields): Promise<void> {
    if (name === undefined) await this.show(id);
    else await this.change('circle rename', { id, name: named(name) });
  }

  /** @throws ApiError, CommandError */
  async remove(id: string): Promise<void> {
    await this.change('circle rm', { id });
  }

  /** @throws ApiError, CommandError */
  async add(id: string, user: string): Promise<void> {
    await this.change('circle add', { id, jid: this.jidOf(user) });
  }

  /** @throws ApiError, CommandError */
  async drop(id: string, user: string): Promise<void> {
    await this.change('circle drop', { id, jid: this.jidOf(user) });
  }

  /** @throws ApiError, CommandError */
  async addChat(id: string, { name }: Fields): Promise<object> {
    return this.change('circle chat add', { id, name: named(name) });
  }

  /** @throws ApiError, CommandError */
  async removeChat(id: string, chat: string): Promise<void> {
    await this.change('circle chat rm', { id, chat });
  }

  private async change(command: string, args: object): Promise<Fields> {
    const { host, run } = this.parts;
    try {
      return await run(command, { ...args, host: host.domain });
    } catch (error) {
      if (error instanceof CommandError && error.code === 'not-found' && error.message.includes('circle'))
        throw noGroup();
      throw error;
    }
  }

  private jidOf(user: string): string {
    return `${user}@${this.parts.host.domain}`;
  }
}

const told = ({ id, name, members, chats }: Circle): object => ({ id, name, members, chats });
const noGroup = (): ApiError => new ApiError('item-not-found', 'Group not found', 'group-not-found');

/** @throws ApiError */
function named(name: unknown): string {
  if (typeof name !== 'string' || name.trim() === '')
    throw new ApiError('bad-request', 'Group name required', 'group-name-required');
  return name;
}
