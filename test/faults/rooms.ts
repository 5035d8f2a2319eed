// What tests of rooms whose nodes break have in common: rooms on nodes that are to have them, and what is said there.
import type { Element } from 'ltx';
import { expect } from 'vitest';
import type { NodeId } from '../../src/cluster/cluster.ts';
import type { StreamClient } from '../kit/client.ts';
import { hears, type Joined } from '../kit/joined-servers.ts';

export const HOST = 'groups.verona.test';
const x = "<x xmlns='http://jabber.org/protocol/muc'/>";

const nameOf = (room: string): string => `${HOST}/muc.room ${room}`;

/** A name that falls to that node, as long as all live. */
export function roomOn({ clusters }: Joined, at: number): string {
  for (let i = 0; ; i++) if (clusters[0]!.owner(nameOf(`hall${i}`)) === clusters[at]!.self) return `hall${i}`;
}

/** Which node has a room that is there: not the one that is asked. */
export async function holderOf({ clusters }: Joined, room: string, asked: number): Promise<NodeId | undefined> {
  const got = await clusters[asked]!.leases.claim(nameOf(room));
  return 'holder' in got ? got.holder : undefined;
}

/** Makes a room and configures it as it comes. */
export async function makeRoom(client: StreamClient, room: string, nick: string, fields = ''): Promise<void> {
  client.write(`<presence to='${room}@${HOST}/${nick}'>${x}</presence>`);
  await hears(client, /code="201"/, /<subject/);
  client.write(
    `<iq type='set' id='u-${room}' to='${room}@${HOST}'><query xmlns='http://jabber.org/protocol/muc#owner'><x xmlns='jabber:x:data' type='submit'>${fields}</x></query></iq>`,
  );
  expect((await hears(client, new RegExp(`id="u-${room}"`))).at(-1)).toContain('type="result"');
}

export async function joinRoom(client: StreamClient, room: string, nick: string): Promise<void> {
  client.write(`<presence to='${room}@${HOST}/${nick}'>${x}</presence>`);
  await hears(client, /code="110"/, /<subject/);
}

export function say(client: StreamClient, room: string, id: string): void {
  client.write(`<message type='groupchat' id='${id}' to='${room}@${HOST}'><body>${id}</body></message>`);
}

/** What somebody has heard in rooms so far: ids by who said it, and errors. */
export class Ear {
  readonly heard: string[] = [];
  readonly errors: Element[] = [];

  constructor(client: StreamClient) {
    client.watcher = {
      received: (item) => {
        if (item.kind !== 'element' || !item.element.is('message')) return;
        const { type, id } = item.element.attrs;
        if (type === 'error') this.errors.push(item.element);
        else if (type === 'groupchat' && item.element.getChild('body') !== undefined) this.heard.push(String(id));
      },
    };
  }

  /** Those that begin so, as they came. */
  of(prefix: string): readonly string[] {
    return this.heard.filter((id) => id.startsWith(prefix));
  }

  get refused(): readonly string[] {
    return this.errors.map(({ attrs }) => String(attrs.id));
  }
}
