// Somebody who runs ad-hoc commands (XEP-0050), for tests that look at more of them than a scene would show.
import type { Element } from 'ltx';
import type { Address, StreamClient } from './client.ts';
import { logIn } from './login.ts';

const FORMS = 'jabber:x:data';

/** What a command was answered with. */
export interface CommandAnswer {
  readonly type: string | undefined;
  readonly status: string | undefined;
  readonly session: string | undefined;
  /** The names of what may be done, and what is usual. */
  readonly actions: readonly string[];
  readonly usual: string | undefined;
  readonly notes: readonly (readonly [type: string, text: string])[];
  /** Values by the names of fields. */
  readonly values: Readonly<Record<string, readonly string[]>>;
  /** The names of conditions, where it was refused. */
  readonly refused: readonly string[];
}

export class Commander {
  readonly client: StreamClient;
  private readonly to: string;
  private count = 0;

  private constructor(client: StreamClient, to: string) {
    this.client = client;
    this.to = to;
  }

  static async logIn(address: Address, domain: string, user: string, password = 'secret'): Promise<Commander> {
    const { client } = await logIn(address, { domain, user, password });
    return new Commander(client, domain);
  }

  /** Runs a command, or goes on with a session of it. */
  async run(
    node: string,
    {
      session,
      action,
      fields,
      to = this.to,
    }: {
      readonly session?: string | undefined;
      readonly action?: string;
      readonly fields?: Readonly<Record<string, string | readonly string[]>>;
      readonly to?: string;
    } = {},
  ): Promise<CommandAnswer> {
    const id = `c${++this.count}`;
    const attrs = [session && ` sessionid='${session}'`, action && ` action='${action}'`].filter(Boolean).join('');
    const form =
      fields === undefined
        ? ''
        : `<x xmlns='${FORMS}' type='submit'>${Object.entries(fields).map(fieldOf).join('')}</x>`;
    this.client.write(
      `<iq type='set' id='${id}' to='${to}'><command xmlns='http://jabber.org/protocol/commands' node='${node}'${attrs}>${form}</command></iq>`,
    );
    for (let item = await this.client.next(); item?.kind === 'element'; item = await this.client.next()) {
      if (item.element.attrs.id === id) return answerOf(item.element);
    }
    throw new Error('the stream has ended');
  }
}

function fieldOf([name, value]: readonly [string, string | readonly string[]]): string {
  const values = typeof value === 'string' ? [value] : value;
  return `<field var='${name}'>${values.map((one) => `<value>${one}</value>`).join('')}</field>`;
}

function answerOf(iq: Element): CommandAnswer {
  const command = iq.getChild('command');
  const actions = command?.getChild('actions');
  const fields = command?.getChild('x', FORMS)?.getChildren('field') ?? [];
  return {
    type: iq.attrs.type,
    status: command?.attrs.status,
    session: command?.attrs.sessionid,
    actions: actions?.getChildElements().map(({ name }) => name) ?? [],
    usual: actions?.attrs.execute,
    notes: command?.getChildren('note').map((note) => [note.attrs.type ?? '', note.getText()] as const) ?? [],
    values: Object.fromEntries(
      fields.map((field) => [field.attrs.var ?? '', field.getChildren('value').map((value) => value.getText())]),
    ),
    refused:
      iq
        .getChild('error')
        ?.getChildElements()
        .map(({ name }) => name) ?? [],
  };
}
