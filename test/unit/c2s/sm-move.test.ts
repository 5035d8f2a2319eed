// Sessions that go from node to node (XEP-0198 5): for clients that come back on another one, and for a node that stops.
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { Cluster } from '../../../src/cluster/cluster.ts';
import type { ConfigInput } from '../../../src/config/server.ts';
import { StorageUnavailable } from '../../../src/storage/errors.ts';
import type { ArchiveStore, Driver } from '../../../src/storage/ports.ts';
import { Jid } from '../../../src/xmpp/jid.ts';
import { type Address, type Item, StreamClient } from '../../kit/client.ts';
import { authenticate, logIn, openStream } from '../../kit/login.ts';
import { type GroupNode, type GroupOptions, NodeGroup } from '../../kit/node-group.ts';

const domain = 'verona.test';
const SM = 'urn:xmpp:sm:3';
const reader = `romeo@${domain}/orchard`;

let group: NodeGroup;
let one: GroupNode;
let two: GroupNode;
let juliet: StreamClient;
const clients: StreamClient[] = [];

async function startGroup(options?: GroupOptions, settings: ConfigInput = {}): Promise<void> {
  group = await NodeGroup.start({ hosts: { [domain]: {} }, ...settings }, { timeout: 150, ...options });
  [one, two] = group.nodes as [GroupNode, GroupNode];
  for (const user of ['romeo', 'juliet']) await one.server.server.accounts.create(`${user}@${domain}`, 'secret');
  juliet = await enter(one, 'juliet', 'balcony');
}

beforeEach(() => startGroup());
afterEach(async () => {
  for (const client of clients.splice(0)) await client.destroy();
  await group.stop();
});

async function enter(node: GroupNode, user: string, resource: string): Promise<StreamClient> {
  const { client } = await logIn(node.server.c2s, { domain, user, password: 'secret', resource });
  clients.push(client);
  return client;
}

/** Romeo is there, with stream management; his SM-ID, too. */
async function settleIn(node: GroupNode): Promise<{ readonly romeo: StreamClient; readonly id: string }> {
  const romeo = await enter(node, 'romeo', 'orchard');
  romeo.write(`<enable xmlns='${SM}' resume='true'/>`);
  const item = await romeo.next();
  const id = item?.kind === 'element' ? String(item.element.attrs.id) : '';
  romeo.write('<presence/>');
  await romeo.fence();
  await group.settle();
  romeo.inbox.length = 0;
  return { romeo, id };
}

async function authenticated(address: Address, user = 'romeo'): Promise<StreamClient> {
  const client = await StreamClient.connect(address);
  clients.push(client);
  await openStream(client, domain);
  await authenticate(client, { user, password: 'secret' });
  await openStream(client, domain);
  return client;
}

const resumeElement = (id: string, h: number): string => `<resume xmlns='${SM}' previd='${id}' h='${h}'/>`;

/** What answers, with its condition and h. */
async function answer(client: StreamClient, ms?: number): Promise<string> {
  const item = await client.next(ms);
  if (item?.kind !== 'element') return 'nothing';
  const { name, attrs, children } = item.element;
  const [first] = children;
  return [name, typeof first === 'object' ? first.name : undefined, attrs.h]
    .filter((part) => part !== undefined)
    .join(' ');
}

async function resume(node: GroupNode, id: string, h = 0): Promise<{ client: StreamClient; answered: string }> {
  const client = await authenticated(node.server.c2s);
  client.write(resumeElement(id, h));
  return { client, answered: await answer(client) };
}

async function say(...ids: string[]): Promise<void> {
  for (const id of ids) juliet.write(`<message type='chat' id='${id}' to='${reader}'><body>${id}</body></message>`);
  await juliet.fence();
  await group.settle();
}

const idsIn = (items: readonly Item[], name = 'message'): unknown[] =>
  items.flatMap((item) => (item.kind === 'element' && item.element.name === name ? [item.element.attrs.id] : []));

async function heard(client: StreamClient): Promise<unknown[]> {
  await group.settle();
  await client.fence();
  return idsIn(client.inbox);
}

/** How many sessions of Romeo are on a node. */
async function count(node: GroupNode): Promise<number> {
  const entries = await group.bus.clusters[0]!.directory.sessions(Jid.of('romeo', domain).bare, true);
  return entries.filter((entry) => entry.node === node.id).length;
}

describe('a client that comes back on another node', () => {
  test('goes on where it was, with all that it missed, and its contacts see nothing', async () => {
    const { romeo, id } = await settleIn(one);
    juliet.write(`<presence/><presence to='${reader}'/>`);
    romeo.write(`<presence to='juliet@${domain}'/>`);
    await romeo.fence();
    await romeo.destroy();
    await group.settle();
    await say('a', 'b');
    juliet.inbox.length = 0;
    const { client, answered } = await resume(two, id, 0);
    expect(answered).toBe('resumed 2');
    expect(await heard(client)).toEqual(['a', 'b']);
    await say('c');
    expect(await heard(client)).toEqual(['a', 'b', 'c']);
    expect(idsIn(juliet.inbox, 'presence')).toEqual([]);
    expect([await count(one), await count(two)]).toEqual([0, 1]);
    // and back
    await client.destroy();
    await group.settle();
    await say('d');
    const back = await resume(one, id, 5);
    expect(back.answered).toBe('resumed 2');
    expect(await heard(back.client)).toEqual(['d']);
    expect([await count(one), await count(two)]).toEqual([1, 0]);
  });

  test('while the node that it was on takes it to be there yet', async () => {
    const { romeo, id } = await settleIn(one);
    await say('a');
    const { client, answered } = await resume(two, id, 0);
    expect(answered).toBe('resumed 1');
    expect(await heard(client)).toEqual(['a']);
    await romeo.closed();
    const error = romeo.inbox.find((item) => item.kind === 'element' && item.element.name === 'stream:error');
    expect(error?.kind === 'element' && error.element.getChild('conflict')).toBeDefined();
  });

  test('is told what was handled of a session that is over there', async () => {
    const { romeo, id } = await settleIn(one);
    romeo.write('</stream:stream>');
    await romeo.closed();
    await group.settle();
    expect((await resume(two, id)).answered).toBe('failed item-not-found 1');
  });

  test('is not given the session of somebody else', async () => {
    const { romeo, id } = await settleIn(one);
    const thief = await authenticated(two.server.c2s, 'juliet');
    thief.write(resumeElement(id, 0));
    expect(await answer(thief)).toBe('failed item-not-found');
    expect(await heard(romeo)).toEqual([]);
    expect(await count(one)).toBe(1);
  });

  test('resumes inside SASL2', async () => {
    const { romeo, id } = await settleIn(one);
    await romeo.destroy();
    await say('a');
    const client = await StreamClient.connect(two.server.c2s);
    clients.push(client);
    await openStream(client, domain);
    const plain = Buffer.from('\0romeo\0secret').toString('base64');
    client.write(
      `<authenticate xmlns='urn:xmpp:sasl:2' mechanism='PLAIN'><initial-response>${plain}</initial-response>` +
        `${resumeElement(id, 0)}</authenticate>`,
    );
    const item = await client.next();
    expect(item).toMatchObject({ element: { name: 'success' } });
    expect(item?.kind === 'element' && item.element.getChild('resumed', SM)?.attrs.h).toBe('1');
    expect(await heard(client)).toEqual(['a']);
  });

  test('gets what does not go into one answer between the nodes', async () => {
    const { romeo, id } = await settleIn(one);
    await romeo.destroy();
    const body = 'x'.repeat(60_000);
    for (let i = 0; i < 20; i++)
      juliet.write(`<message type='chat' id='${i}' to='${reader}'><body>${body}</body></message>`);
    await juliet.fence();
    const { client } = await resume(two, id);
    for (let seen = 0; seen < 20; ) {
      const item = await client.next();
      if (item?.kind !== 'element') throw new Error('not all has come');
      if (item.element.name === 'message') {
        expect(item.element.attrs.id).toBe(String(seen++));
        client.write(`<a xmlns='${SM}' h='${seen}'/>`);
      }
    }
    expect((await heard(client)).length).toBe(0);
  });

  test('of two at the same time on two nodes, one has the session in the end', async () => {
    const { romeo, id } = await settleIn(one);
    await romeo.destroy();
    await say('a');
    const attempts = await Promise.all([one, two, one, two].map((node) => authenticated(node.server.c2s)));
    for (const client of attempts) client.write(resumeElement(id, 0));
    await group.settle();
    const answers = await Promise.all(attempts.map((client) => answer(client)));
    expect(answers.filter((text) => text === 'resumed 1').length).toBeGreaterThan(0);
    await group.settle();
    await expect.poll(() => attempts.filter((client) => !client.isClosed).length).toBe(1);
    expect((await count(one)) + (await count(two))).toBe(1);
    await say('b');
    const winner = attempts.find((client) => !client.isClosed)!;
    expect(await heard(winner)).toEqual(['a', 'b']);
  });
});

describe('where nodes fail', () => {
  /** Lets a call between the nodes be made once with a mishap. */
  function onCall(node: GroupNode, method: string, mishap: (call: () => Promise<unknown>) => Promise<unknown>): void {
    const cluster = group.bus.clusters.find(({ self }) => self === node.id) as Cluster;
    const call = cluster.call.bind(cluster);
    let isDone = false;
    cluster.call = (to, name, body) => {
      if (name !== method || isDone) return call(to, name, body);
      isDone = true;
      return mishap(() => call(to, name, body));
    };
  }
  const nobody = (): Promise<never> => Promise.reject(new Error('no answer'));

  test('one that does not answer keeps what waits, for the session that its client begins instead', async () => {
    const { romeo, id } = await settleIn(one);
    await romeo.destroy();
    await say('a');
    group.bus.freeze(one.id, true);
    expect((await resume(two, id)).answered).toBe('failed item-not-found');
    const next = await enter(two, 'romeo', 'terrace');
    next.write('<presence/>');
    await next.fence();
    group.bus.freeze(one.id, false);
    await group.settle();
    expect(await heard(next)).toEqual(['a']);
    // and would have been told so
    expect((await resume(one, id)).answered).toBe('failed item-not-found 1');
  });

  test('one that is told late that a session is gone keeps it for a client that has come back to it', async () => {
    const { romeo, id } = await settleIn(one);
    await romeo.destroy();
    await say('a');
    const { client, answered } = await resume(one, id);
    expect(answered).toBe('resumed 1');
    const cluster = group.bus.clusters.find(({ self }) => self === two.id) as Cluster;
    await cluster.call(one.id, 'sm.forsake', { id, account: `romeo@${domain}` });
    await say('b');
    expect(await heard(client)).toEqual(['a', 'b']);
  });

  test('one that waits for its database ends a session that its client was told is gone', async () => {
    let isSlow = false;
    let answer = (): void => {};
    const answered = new Promise<void>((resolve) => {
      answer = resolve;
    });
    const wrap = (driver: Driver): Driver => ({
      ...driver,
      async open(host, module, specs) {
        const opened = await driver.open(host, module, specs);
        if (module !== 'mam') return opened;
        const messages = opened.messages as ArchiveStore;
        const append: ArchiveStore['append'] = (owner, message) => {
          const done = messages.append(owner, message);
          return isSlow ? { ...done, durable: answered.then(() => done.durable) } : done;
        };
        return { ...opened, messages: { ...messages, append } };
      },
    });
    await group.stop();
    await startGroup({ wrap });
    const { romeo, id } = await settleIn(one);
    isSlow = true;
    romeo.write(`<message type='chat' to='juliet@${domain}'><body>Ah</body></message>`);
    await heard(juliet);
    await romeo.destroy();
    await say('a');
    expect((await resume(two, id)).answered).toBe('failed item-not-found');
    const next = await enter(two, 'romeo', 'terrace');
    next.write('<presence/>');
    await next.fence();
    expect(await heard(next)).toEqual(['a']);
    answer();
    await group.settle();
    expect((await resume(one, id)).answered).toBe('failed item-not-found 2');
  });

  test('where the directory does not answer the client is told that there is no such session, and has it later', async () => {
    const { romeo, id } = await settleIn(one);
    await romeo.destroy();
    await say('a');
    const cluster = group.bus.clusters.find(({ self }) => self === two.id) as Cluster;
    const { directory } = cluster;
    const sessions = directory.sessions.bind(directory);
    directory.sessions = (user, isFresh) => (isFresh ? Promise.reject(new StorageUnavailable('away')) : sessions(user));
    expect((await resume(two, id)).answered).toBe('failed item-not-found');
    directory.sessions = sessions;
    const { client, answered } = await resume(two, id);
    expect(answered).toBe('resumed 1');
    expect(await heard(client)).toEqual(['a']);
  });

  /** A message waits for Romeo on the first node; he comes to the second one, which dies when it asks the first. Returns his SM-ID. */
  const dieOver = async (method: string): Promise<string> => {
    const { romeo, id } = await settleIn(one);
    await romeo.destroy();
    await say('a');
    onCall(two, method, () => {
      group.kill(two);
      return nobody();
    });
    const client = await authenticated(two.server.c2s);
    client.write(resumeElement(id, 0));
    await group.settle();
    await client.destroy();
    await group.settle();
    return id;
  };

  test('a session stays where the node that wanted it dies before it has it', async () => {
    const id = await dieOver('sm.take');
    await say('b');
    const back = await resume(one, id);
    expect(back.answered).toBe('resumed 1');
    expect(await heard(back.client)).toEqual(['a', 'b']);
  });

  test('a session that stays while the directory does not answer is there still, and says so later', async () => {
    const { directory } = group.bus.clusters.find(({ self }) => self === one.id) as Cluster;
    const put = directory.put.bind(directory);
    let attempts = 0;
    const id = await dieOver('sm.take');
    directory.put = () => {
      attempts++;
      return Promise.reject(new StorageUnavailable('away'));
    };
    const three = await group.join();
    onCall(three, 'sm.take', nobody);
    onCall(three, 'sm.take', nobody);
    onCall(three, 'sm.take', nobody);
    expect((await resume(three, id)).answered).toBe('failed item-not-found 1');
    await group.clock.advance(20_000);
    await group.settle();
    expect(attempts).toBeGreaterThan(1);
    directory.put = put;
    await group.clock.advance(1_000);
    await group.settle();
    expect(await count(one)).toBe(1);
    const { client, answered } = await resume(one, id);
    expect(answered).toBe('resumed 1');
    expect(await heard(client)).toEqual(['a']);
  });

  test('what waits is given back where the node that took it dies over it', async () => {
    await dieOver('sm.done');
    const garden = await enter(one, 'romeo', 'garden');
    garden.write('<presence/>');
    await garden.fence();
    expect(await heard(garden)).toEqual(['a']);
  });

  test('an answer that is lost is asked for again, and nothing comes twice', async () => {
    const { romeo, id } = await settleIn(one);
    await romeo.destroy();
    await say('a');
    onCall(two, 'sm.take', (call) => call().then(nobody));
    onCall(two, 'sm.done', nobody);
    const { client, answered } = await resume(two, id);
    expect(answered).toBe('resumed 1');
    expect(await heard(client)).toEqual(['a']);
    // the one that had it asks whether all has arrived
    await group.clock.advance(31_000);
    await group.settle();
    expect(await heard(client)).toEqual(['a']);
    const garden = await enter(one, 'romeo', 'garden');
    garden.write('<presence/>');
    expect(await heard(garden)).toEqual([]);
  });

  test('what is sent to where a session was follows it', async () => {
    const { romeo, id } = await settleIn(one);
    await romeo.destroy();
    await group.settle();
    const [first] = group.bus.clusters as [Cluster];
    const before = await first.directory.sessions(`romeo@${domain}` as never);
    const { client } = await resume(two, id);
    const { directory } = first;
    Object.assign(first, {
      directory: {
        sessions: (user: never) => (user === `romeo@${domain}` ? before : directory.sessions(user)),
        put: directory.put.bind(directory),
        drop: directory.drop.bind(directory),
        release: directory.release.bind(directory),
      },
    });
    await say('a', 'b');
    expect(await heard(client)).toEqual(['a', 'b']);
    Object.assign(first, { directory });
  });
});

describe('a node that stops', () => {
  test('hands its sessions to others, and their clients go on there', async () => {
    const { romeo, id } = await settleIn(two);
    await say('a');
    await group.leave(two);
    await romeo.closed();
    // there is no end of the stream: it is as if the network had gone
    expect(romeo.inbox.some(({ kind }) => kind === 'end')).toBe(false);
    expect(idsIn(romeo.inbox)).toEqual(['a']);
    await say('b');
    const { client, answered } = await resume(one, id, 2);
    expect(answered).toBe('resumed 1');
    expect(await heard(client)).toEqual(['b']);
    expect(group.errors).toEqual([]);
  });

  test('spreads them over the others', async () => {
    const three = await group.join();
    for (let i = 0; i < 6; i++) {
      const { client } = await logIn(one.server.c2s, { domain, user: 'romeo', password: 'secret', resource: `r${i}` });
      clients.push(client);
      client.write(`<enable xmlns='${SM}' resume='true'/>`);
      await client.fence();
    }
    await group.leave(one);
    expect([await count(two), await count(three)]).toEqual([3, 3]);
  });

  test('leaves them in the store where there is no other, and any node that starts takes them', async () => {
    const { id } = await settleIn(two);
    await say('a');
    await group.leave(one);
    await group.leave(two);
    const three = await group.join();
    expect(await count(three)).toBe(1);
    const four = await group.join();
    expect(await count(four)).toBe(0);
    const { client, answered } = await resume(four, id, 0);
    expect(answered).toBe('resumed 1');
    expect(await heard(client)).toEqual(['a']);
  });

  test('leaves them to one that started meanwhile', async () => {
    const { id } = await settleIn(two);
    await say('a');
    await group.leave(one);
    // it sees nobody
    const cluster = group.bus.clusters.find(({ self }) => self === two.id) as Cluster;
    cluster.members = () => [];
    const three = await group.join();
    await group.leave(two);
    await group.settle();
    const { client, answered } = await resume(three, id, 0);
    expect(answered).toBe('resumed 1');
    expect(await heard(client)).toEqual(['a']);
  });
});
