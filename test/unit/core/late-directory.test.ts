// Delivery between two nodes while the directory says what is not true any more.
import { beforeEach, expect, test } from 'vitest';
import type { Directory, SessionEntry } from '../../../src/cluster/cluster.ts';
import { Jid } from '../../../src/xmpp/jid.ts';
import type { StreamClient } from '../../kit/client.ts';
import { messagesAt, pairForEach } from '../../kit/pair-for-each.ts';

const domain = 'verona.test';
const pair = pairForEach();
const { enter, settle } = pair;
let juliet: StreamClient;

beforeEach(async () => {
  juliet = await enter(0, 'juliet', 'balcony');
});

async function become(client: StreamClient): Promise<void> {
  client.write('<presence/>');
  await settle();
}

async function write(to: string): Promise<void> {
  juliet.write(`<message type='chat' id='a' to='${to}'><body>Ay me</body></message>`);
  await settle();
}

const names = [Jid.of('romeo', domain).bare, `romeo@${domain}/orchard`] as const;

test.each([0, 1] as const)(
  'a session of node %i that left and is listed for ever gets its messages to nobody, and no circle',
  async (node) => {
    const orchard = await enter(node, 'romeo', 'orchard');
    await become(orchard);
    pair.directory.drop = async () => {};
    orchard.write('</stream:stream>');
    await orchard.closed();
    await settle();
    await write(names[0]);
    await write(names[1]);
    const garden = await enter(node, 'romeo', 'garden');
    await become(garden);
    expect(messagesAt(garden)).toBe(2);
  },
);

test('what was for a session that was replaced on its node is not written to the other', async () => {
  await become(await enter(1, 'romeo', 'orchard'));
  const { directory } = pair;
  const before: readonly SessionEntry[] = await directory.sessions(names[0]);
  const other = await enter(1, 'romeo', 'orchard');
  await become(other);
  // only the node that writes has not heard of it
  Object.assign(pair.group.bus.clusters[0]!, {
    directory: {
      sessions: (user, isFresh) => (user === names[0] && !isFresh ? before : directory.sessions(user)),
      put: (entry) => directory.put(entry),
      release: (jid, sid) => directory.release(jid, sid),
      drop: (jid, sid) => directory.drop(jid, sid),
    } satisfies Directory,
  });
  await write(names[1]);
  // it was kept, and then there was somebody
  expect(messagesAt(other)).toBe(1);
  other.write('</stream:stream>');
  await other.closed();
  const garden = await enter(1, 'romeo', 'garden');
  await become(garden);
  expect(messagesAt(garden)).toBe(0);
});
