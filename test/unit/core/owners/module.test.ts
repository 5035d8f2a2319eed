// A module whose things have one owner, on servers that come, stop and die.
import { fileURLToPath } from 'node:url';
import { afterEach, expect, test } from 'vitest';
import type { StreamClient } from '../../../kit/client.ts';
import { logIn } from '../../../kit/login.ts';
import { type GroupNode, NodeGroup } from '../../../kit/node-group.ts';

const domain = 'verona.test';
const plugins = [fileURLToPath(new URL('../../../kit/office-module.ts', import.meta.url))];
let group: NodeGroup;
const clients: StreamClient[] = [];

async function start(nodes: number): Promise<void> {
  group = await NodeGroup.start({ hosts: { [domain]: {} }, plugins }, { nodes });
  await group.nodes[0]!.server.server.accounts.create(`romeo@${domain}`, 'secret');
}

async function enter({ server }: GroupNode): Promise<StreamClient> {
  const { client } = await logIn(server.c2s, { user: 'romeo', password: 'secret', domain });
  clients.push(client);
  return client;
}

let asked = 0;
async function ask(client: StreamClient): Promise<number> {
  const id = `t${++asked}`;
  client.write(`<iq type='get' id='${id}' to='${domain}'><ticket xmlns='urn:test:office'/></iq>`);
  for (;;) {
    const item = await client.next();
    if (item === undefined) throw new Error('no answer');
    if (item.kind === 'element' && item.element.attrs.id === id) {
      return Number(item.element.getChild('ticket')?.attrs.number ?? Number.NaN);
    }
  }
}

afterEach(async () => {
  for (const client of clients.splice(0)) await client.destroy();
  await group.stop();
  expect(group.errors).toEqual([]);
});

test('one office serves the people of all nodes, and goes on when its node stops', async () => {
  await start(2);
  const [one, two] = group.nodes as [GroupNode, GroupNode];
  const [first, second] = [await enter(one), await enter(two)];
  const numbers: number[] = [];
  for (const client of [first, second, first, second]) numbers.push(await ask(client));
  await group.leave(one);
  numbers.push(await ask(second));
  const three = await group.join();
  await group.leave(two);
  numbers.push(await ask(await enter(three)));
  expect(numbers).toEqual([1, 2, 3, 4, 5, 6]);
});

test('when its node dies the office goes on elsewhere, from what is stored', async () => {
  await start(3);
  const callers = await Promise.all(group.nodes.map(enter));
  const numbers: number[] = [];
  for (const client of callers) numbers.push(await ask(client));
  // whichever of the first two it is on, it is on the third afterwards
  for (const node of group.nodes.slice(0, 2)) group.kill(node);
  await group.settle();
  numbers.push(await ask(callers[2]!));
  expect(numbers).toEqual([1, 2, 3, 4]);
});
