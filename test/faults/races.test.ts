// What happens when things happen at the same time, on one node and on several.
import { afterEach, describe, expect, test } from 'vitest';
import type { StreamClient } from '../kit/client.ts';
import { logIn } from '../kit/login.ts';
import { type RunningWorld, worlds } from '../kit/worlds.ts';

const domain = 'verona.test';

describe.each(worlds.map((world) => [world.name, world] as const))('on %s', (_name, kind) => {
  let world: RunningWorld;
  let clients: StreamClient[] = [];
  const start = async (...users: string[]): Promise<void> => {
    world = await kind.start({ hosts: { [domain]: {} } });
    for (const user of users) await world.createAccount(`${user}@${domain}`, 'secret');
  };
  const enter = async (user: string, resource: string): Promise<StreamClient> => {
    const { client } = await logIn(world.nextAddress(), { domain, user, password: 'secret', resource });
    clients.push(client);
    return client;
  };
  const ids = (client: StreamClient, name: string): unknown[] =>
    client.inbox.flatMap((item) =>
      item.kind === 'element' && item.element.name === name ? [item.element.attrs.id] : [],
    );

  afterEach(async () => {
    for (const client of clients) await client.destroy();
    clients = [];
    await world.settle();
    expect(world.errors).toEqual([]);
    await world.stop();
  });

  test('of many that bind the same resource at once, one is left, and it is reachable', async () => {
    await start('romeo', 'juliet');
    const juliet = await enter('juliet', 'balcony');
    const logins = await Promise.allSettled(Array.from({ length: 8 }, () => enter('romeo', 'orchard')));
    // who lost the place before hearing of having it has failed to log in
    const rivals = logins.flatMap((login) => (login.status === 'fulfilled' ? [login.value] : []));
    await world.settle();
    for (const rival of rivals) if (!rival.isClosed) await rival.fence();
    const left = rivals.filter((rival) => !rival.isClosed);
    expect(left).toHaveLength(1);
    juliet.write(`<message to='romeo@${domain}/orchard' id='m'/>`);
    await juliet.fence();
    await world.settle();
    await left[0]!.fence();
    expect(ids(left[0]!, 'message')).toEqual(['m']);
    expect(ids(juliet, 'message')).toEqual([]);
  });

  test('no message is lost or doubled while its reader comes and goes', async () => {
    await start('romeo', 'juliet');
    const romeo = await enter('romeo', 'orchard');
    const heard: unknown[] = [];
    let sent = 0;
    for (let round = 0; round < 10; round++) {
      const juliet = await enter('juliet', 'balcony');
      juliet.write('<presence/>');
      for (let i = 0; i < 5; i++)
        romeo.write(`<message to='juliet@${domain}' type='chat' id='${++sent}'><body>x</body></message>`);
      await romeo.fence();
      await world.settle();
      await juliet.fence();
      // goes offline first: what comes from now on waits
      juliet.write("<presence type='unavailable'/>");
      for (let i = 0; i < 5; i++)
        romeo.write(`<message to='juliet@${domain}' type='chat' id='${++sent}'><body>x</body></message>`);
      await romeo.fence();
      await juliet.fence();
      await world.settle();
      await juliet.fence();
      heard.push(...ids(juliet, 'message'));
      await juliet.destroy();
      await world.settle();
    }
    const last = await enter('juliet', 'balcony');
    last.write('<presence/>');
    await last.fence();
    await world.settle();
    await last.fence();
    heard.push(...ids(last, 'message'));
    expect(heard.map(Number).sort((a, b) => a - b)).toEqual(Array.from({ length: sent }, (_, i) => i + 1));
    expect(ids(romeo, 'message')).toEqual([]);
  });

  test('roster changes from several resources at once all count, each with a version of its own', async () => {
    await start('romeo');
    const resources = await Promise.all(['a', 'b', 'c', 'd'].map((resource) => enter('romeo', resource)));
    const watcher = await enter('romeo', 'watcher');
    watcher.write("<iq type='get' id='r'><query xmlns='jabber:iq:roster'/></iq>");
    await watcher.fence();
    watcher.inbox.length = 0;
    for (let i = 0; i < 10; i++) {
      for (const [n, client] of resources.entries()) {
        client.write(
          `<iq type='set' id='${i}'><query xmlns='jabber:iq:roster'><item jid='${n}.${i}@example.com'/></query></iq>`,
        );
      }
    }
    for (const client of resources) await client.fence();
    await world.settle();
    await watcher.fence();
    const pushes = watcher.inbox.flatMap((item) => {
      const query = item.kind === 'element' ? item.element.getChild('query') : undefined;
      const { ver } = (query?.attrs ?? {}) as { ver?: string };
      const { jid } = (query?.getChild('item')?.attrs ?? {}) as { jid?: string };
      return ver === undefined || jid === undefined ? [] : [{ ver, by: jid[0] }];
    });
    expect(new Set(pushes.map(({ ver }) => ver)).size).toBe(40);
    const isOrdered = (versions: readonly string[]): boolean =>
      versions.every((ver, i) => i === 0 || ver > versions[i - 1]!);
    // RFC 6121 2.6.3: in the order of modification; between nodes what one resource did keeps its order
    for (const by of ['0', '1', '2', '3']) {
      expect(isOrdered(pushes.filter((push) => push.by === by).map(({ ver }) => ver))).toBe(true);
    }
    if (kind.name === 'one node') expect(isOrdered(pushes.map(({ ver }) => ver))).toBe(true);
    watcher.inbox.length = 0;
    watcher.write("<iq type='get' id='r'><query xmlns='jabber:iq:roster'/></iq>");
    await watcher.fence();
    const [roster] = watcher.inbox;
    expect(roster?.kind === 'element' && roster.element.getChild('query')?.getChildren('item')).toHaveLength(40);
  });

  test('presence of one resource reaches a contact in the order it was sent', async () => {
    await start('romeo', 'juliet');
    const [romeo, juliet] = [await enter('romeo', 'orchard'), await enter('juliet', 'balcony')];
    juliet.write('<presence/>');
    await juliet.fence();
    romeo.write(`<presence to='juliet@${domain}' type='subscribed'/>`);
    await romeo.fence();
    juliet.write(`<presence to='romeo@${domain}' type='subscribe'/>`);
    await juliet.fence();
    await world.settle();
    await juliet.fence();
    juliet.inbox.length = 0;
    for (let i = 0; i < 30; i++) romeo.write(`<presence id='${i}'${i % 7 === 6 ? " type='unavailable'" : ''}/>`);
    await romeo.fence();
    await world.settle();
    await juliet.fence();
    expect(ids(juliet, 'presence')).toEqual(Array.from({ length: 30 }, (_, i) => String(i)));
  });
});
