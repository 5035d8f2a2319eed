// At whose desk a command for administrators is run: who asks, at which domain, and what they may do there.
import { isPromise, type MaybePromise } from '../../base/maybe.ts';
import { adminCommands } from '../../core/admin-commands.ts';
import { type AdminContext, CommandError, type CommandErrorCode, runCommand } from '../../core/commands.ts';
import type { Host } from '../../core/host.ts';
import { limitTo } from '../../core/limited-admin.ts';
import type { IqRequest } from '../../core/module.ts';
import { type Condition, StanzaError } from '../../xmpp/errors.ts';
import type { Jid } from '../../xmpp/jid.ts';

/** What is said of a new user (XEP-0133 4.1). */
export interface Introduction {
  readonly given_name?: string;
  readonly surname?: string;
  readonly email?: string;
}

export interface Desk {
  /** The domain that was asked. */
  readonly domain: string;
  /** Of that domain and its services alone. */
  readonly admin: AdminContext;
  /** Runs a command of the registry. @throws StanzaError where it is refused */
  run(command: string, args: object): Promise<object>;
  /** Makes the profile of a new user of the domain, by localpart. */
  introduce(user: string, what: Introduction): Promise<void>;
}

export class Desks {
  private readonly host: Host;
  private readonly all: AdminContext;
  private readonly own: AdminContext;
  private readonly introduce: Desk['introduce'];

  constructor(host: Host, all: AdminContext, introduce: Desk['introduce']) {
    this.host = host;
    this.all = all;
    this.own = limitTo(all, host.domain);
    this.introduce = introduce;
  }

  /** Whether somebody administers, or moderates, this domain. */
  mayUse(who: Jid, permission: 'administer' | 'moderate' = 'administer'): MaybePromise<boolean> {
    return this.host.may(who, permission);
  }

  /**
   * Whether somebody administers the whole server: whom the settings of every domain name, and where there is but one domain, whoever administers
   * that.
   */
  isOperator(who: Jid): MaybePromise<boolean> {
    const { hosts } = this.all;
    if (hosts.every((domain) => this.all.adminsOf(domain).includes(who.bare))) return true;
    return hosts.length === 1 && hosts[0] === this.host.domain && this.mayUse(who);
  }

  /** For what concerns this domain, to look at. */
  at(): Desk {
    return this.deskWith(this.own);
  }

  /** For what concerns this domain. */
  async here({ iq }: IqRequest): Promise<Desk> {
    const isOperator = await this.isOperator(iq.from);
    return this.deskWith(isOperator ? limitTo(this.all, this.host.domain, isOperator) : this.own);
  }

  /** For everything that whoever asks may do. */
  async of({ iq }: IqRequest): Promise<Desk> {
    return this.deskWith((await this.isOperator(iq.from)) ? this.all : this.own);
  }

  private deskWith(admin: AdminContext): Desk {
    return {
      domain: this.host.domain,
      admin,
      introduce: this.introduce,
      run(name, args) {
        const command = commands.get(name);
        if (command === undefined) throw new Error(`there is no command "${name}"`);
        return answered(() => runCommand(command, admin, args)) as Promise<object>;
      },
    };
  }
}

const commands = new Map(adminCommands.map((command) => [command.name, command] as const));

/** XEP-0133 5: what a refusal is on the wire. */
const conditions: Readonly<Record<CommandErrorCode, Condition>> = {
  'bad-arguments': 'not-acceptable',
  'unknown-command': 'item-not-found',
  'not-found': 'item-not-found',
  exists: 'conflict',
  refused: 'not-allowed',
  forbidden: 'forbidden',
  'not-running': 'internal-server-error',
  failed: 'internal-server-error',
};

/** Does something; a refusal of a command becomes one of a stanza. */
function answered<T>(work: () => MaybePromise<T>): MaybePromise<T> {
  try {
    const result = work();
    return isPromise(result) ? result.catch(tellAsStanza) : result;
  } catch (error) {
    tellAsStanza(error);
  }
}

function tellAsStanza(error: unknown): never {
  throw error instanceof CommandError ? new StanzaError(conditions[error.code], error.message) : error;
}
