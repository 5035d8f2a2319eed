// Rooms whose node goes while people talk in them: what was said is heard once, in one order, or its sender is told to say it again; and who
// has gone with a node is in no room any more.
import { afterEach, describe, expect, test } from 'vitest';
import { systemClock } from '../../src/base/clock.ts';
import { StreamClient } from '../kit/client.ts';
import { hears, type Joined, joinServers, unread } from '../kit/joined-servers.ts';
import { authenticate, openStream } from '../kit/login.ts';
import { startRedis } from '../kit/redis.ts';
import { redisForAll } from '../kit/redis-for-all.ts';
import { pause } from './kit.ts';
import { Ear, HOST, holderOf, joinRoom, makeRoom, roomOn, say } from './rooms.ts';

const redis = redisForAll();
const SM = 'urn:xmpp:sm:3';

let joined: Joined;
afterEach(() => joined.stop());

const numbered = (who: string, count: number): readonly string[] =>
  Array.from({ length: count }, (_, i) => `${who}${i}`);

/** Two people on different nodes, in a room on a third one. */
async function meet(): Promise<{ room: string; romeo: StreamClient; juliet: StreamClient }> {
  const room = roomOn(joined, 1);
  const romeo = await joined.enter(0, 'romeo', 'orchard');
  const juliet = await joined.enter(2, 'juliet', 'balcony');
  await makeRoom(romeo, room, 'Romeo');
  await joinRoom(juliet, room, 'Juliet');
  await hears(romeo, /\/Juliet"/);
  expect(await holderOf(joined, room, 0)).toBe(joined.clusters[1]!.self);
  return { room, romeo, juliet };
}

describe.each(['in one process', 'on Redis'])('nodes %s', (where) => {
  const start = async (): Promise<void> => {
    joined = await joinServers(where === 'on Redis' ? redis.url : undefined, ['one', 'two', 'three']);
  };

  test('a room moves while people talk: nothing is lost, heard twice, or overtaken', async () => {
    await start();
    const { room, romeo, juliet } = await meet();
    const ears = [new Ear(romeo), new Ear(juliet)];
    const count = 120;
    let stopping: Promise<void> | undefined;
    for (let i = 0; i < count; i++) {
      say(romeo, room, `r${i}`);
      say(juliet, room, `j${i}`);
      if (i === 30) stopping = joined.servers[1]!.stop();
      await pause(3);
    }
    await stopping;
    for (const ear of ears) {
      await expect.poll(() => ear.heard.length, { timeout: 15_000 }).toBe(2 * count);
      expect(ear.of('r')).toEqual(numbered('r', count));
      expect(ear.of('j')).toEqual(numbered('j', count));
      expect(ear.errors).toEqual([]);
    }
    // and all read the same
    expect(ears[0]!.heard).toEqual(ears[1]!.heard);
  }, 60_000);

  test('the node of a room dies while people talk: each message is heard once and in order, or is refused for the moment', async () => {
    await start();
    const { room, romeo, juliet } = await meet();
    const ears = [new Ear(romeo), new Ear(juliet)];
    const count = 120;
    for (let i = 0; i < count; i++) {
      say(romeo, room, `r${i}`);
      say(juliet, room, `j${i}`);
      if (i === 30) joined.kill(1);
      await pause(3);
    }
    for (const [at, who] of ['r', 'j'].entries()) {
      const own = ears[at]!;
      const settled = (): number => new Set([...own.of(who), ...own.refused]).size;
      await expect.poll(settled, { timeout: 20_000 }).toBe(count);
      for (const error of own.errors) expect(error.getChild('error')?.attrs.type).toBe('wait');
      // what was not refused (be it after it was heard by some) has reached everybody
      const taken = (): readonly string[] => numbered(who, count).filter((id) => !own.refused.includes(id));
      for (const ear of ears) {
        await expect.poll(() => taken().filter((id) => !ear.heard.includes(id)), { timeout: 10_000 }).toEqual([]);
        expect(new Set(ear.of(who)).size).toBe(ear.of(who).length);
        expect(ear.of(who)).toEqual(numbered(who, count).filter((id) => ear.heard.includes(id)));
      }
      expect(taken().length).toBeGreaterThan(10);
    }
  }, 60_000);

  test('who is cut off with the node of a room says nothing in it that anybody else would hear', async () => {
    await start();
    const { room, romeo, juliet } = await meet();
    const nurse = await joined.enter(1, 'nurse', 'here');
    await joinRoom(nurse, room, 'Nurse');
    for (const client of [romeo, juliet]) await hears(client, /\/Nurse"/);
    const ears = [new Ear(romeo), new Ear(juliet)];
    joined.kill(1);
    for (let i = 0; i < 5; i++) say(nurse, room, `n${i}`);
    await expect
      .poll(
        () => {
          say(romeo, room, 'r');
          return ears.every((ear) => ear.heard.includes('r'));
        },
        { timeout: 20_000, interval: 200 },
      )
      .toBe(true);
    for (const ear of ears) expect(ear.of('n')).toEqual([]);
  }, 60_000);

  test('who resumes on another node is in the room still, and nobody sees it', async () => {
    await start();
    const { room, romeo, juliet } = await meet();
    const id = await manage(romeo);
    await romeo.destroy();
    say(juliet, room, 'while he was away');
    await hears(juliet, /while he was away/);
    const again = await StreamClient.connect(joined.servers[2]!.c2s);
    await openStream(again, 'verona.test');
    await authenticate(again, { user: 'romeo', password: 'secret' });
    await openStream(again, 'verona.test');
    again.write(`<resume xmlns='${SM}' previd='${id}' h='0'/>`);
    await hears(again, /<resumed/, /while he was away/);
    say(again, room, 'back');
    expect((await hears(juliet, /<body>back/)).at(-1)).toContain(`from="${room}@${HOST}/Romeo"`);
    expect(unread(juliet).filter((text) => text.startsWith('<presence'))).toEqual([]);
    await hears(again, /<body>back/);
    await again.destroy();
  });

  test('what comes back because it was for a session before does not put anybody out of a room', async () => {
    await start();
    const { room, romeo, juliet } = await meet();
    const xml = `<message from='${room}@${HOST}/Romeo' type='groupchat' id='late'><body>before</body></message>`;
    const to = [{ jid: 'juliet@verona.test/balcony', sid: `before.${joined.clusters[2]!.self}` }];
    await joined.clusters[2]!.send(joined.clusters[0]!.self, { kind: 'undelivered', to, xml, each: 0 });
    await pause(100);
    say(romeo, room, 'after that');
    expect((await hears(juliet, /after that/)).filter((text) => text.startsWith('<presence'))).toEqual([]);
    expect((await hears(romeo, /after that/)).filter((text) => text.startsWith('<presence'))).toEqual([]);
  });

  /** Turns stream management on. @returns the id of the session */
  async function manage(client: StreamClient): Promise<string> {
    client.write(`<enable xmlns='${SM}' resume='true'/>`);
    return / id="([^"]+)"/.exec((await hears(client, /<enabled/)).at(-1)!)![1]!;
  }

  /** Says what the room's node never answers. @returns what lets the asker know that */
  async function sayUnanswered(client: StreamClient, room: string): Promise<() => void> {
    const [here] = joined.clusters;
    const { call } = here!;
    const lost: (() => void)[] = [];
    here!.call = (node, method, body) =>
      method === 'owners.ask'
        ? new Promise((_, reject) => lost.push(() => reject(new Error('that node is no more'))))
        : call.call(here, node, method, body);
    say(client, room, 'never heard');
    await expect.poll(() => lost.length).toBe(1);
    return () => {
      here!.call = call;
      for (const lose of lost) lose();
    };
  }

  /** What Romeo is told who wants to go on with a session that is over. */
  async function countedAgain(id: string): Promise<string> {
    const again = await StreamClient.connect(joined.servers[0]!.c2s);
    await openStream(again, 'verona.test');
    await authenticate(again, { user: 'romeo', password: 'secret' });
    await openStream(again, 'verona.test');
    again.write(`<resume xmlns='${SM}' previd='${id}' h='0'/>`);
    const answer = (await hears(again, /<failed/)).at(-1)!;
    await again.destroy();
    return answer;
  }

  test.each([
    ['when its sender’s session is over', 'over'],
    ['and its sender never reads', 'unread'],
  ])('what a room refuses %s does not count as handled', async (_, when) => {
    await start();
    const { room, romeo } = await meet();
    const id = await manage(romeo);
    // the question to the room's node is under way for long
    const answer = await sayUnanswered(romeo, room);
    if (when === 'unread') {
      await romeo.destroy();
      answer();
      await pause(50);
    }
    await joined.enter(0, 'romeo', 'orchard');
    if (when === 'over') {
      await hears(romeo, /<conflict/);
      answer();
    }
    expect(await countedAgain(id)).toContain('h="0"');
  });

  test('nor does what it refuses while its sender’s session ends, before the sender is told', async () => {
    await start();
    const { room, romeo } = await meet();
    const id = await manage(romeo);
    const answer = await sayUnanswered(romeo, room);
    const { directory } = joined.clusters[0]!;
    // where the sender is, the directory has to be asked for
    const { sessions } = directory;
    let goOn: (() => void) | undefined;
    directory.sessions = (user, isFresh) => {
      if (user !== 'romeo@verona.test') return sessions.call(directory, user, isFresh);
      directory.sessions = sessions;
      return new Promise((resolve) => {
        goOn = () => resolve([]);
      });
    };
    answer();
    await expect.poll(() => goOn).toBeDefined();
    await joined.enter(0, 'romeo', 'orchard');
    await hears(romeo, /<conflict/);
    goOn!();
    expect(await countedAgain(id)).toContain('h="0"');
  });

  test('an account that is removed is nothing in any room any more', async () => {
    await start();
    const { room, romeo, juliet } = await meet();
    romeo.write(
      `<iq type='set' id='m' to='${room}@${HOST}'><query xmlns='http://jabber.org/protocol/muc#admin'><item jid='juliet@verona.test' affiliation='owner'/></query></iq>`,
    );
    await hears(romeo, /id="m"/);
    await hears(juliet, /affiliation="owner"/);
    await joined.servers[2]!.server.accounts.remove('juliet@verona.test');
    await hears(romeo, /type="unavailable"/);
    const list = async (affiliation: string): Promise<string> => {
      romeo.write(
        `<iq type='get' id='l-${affiliation}' to='${room}@${HOST}'><query xmlns='http://jabber.org/protocol/muc#admin'><item affiliation='${affiliation}'/></query></iq>`,
      );
      return (await hears(romeo, new RegExp(`id="l-${affiliation}"`))).at(-1)!;
    };
    expect(await list('owner')).not.toContain('juliet');
    // even the last owner
    await joined.servers[2]!.server.accounts.remove('romeo@verona.test');
    const nurse = await joined.enter(0, 'nurse', 'here');
    await joinRoom(nurse, room, 'Nurse');
    expect(unread(nurse).join()).not.toContain('romeo');
  });
});

test('who was in very many rooms leaves all of them with its node', async () => {
  joined = await joinServers(undefined, ['one', 'two', 'three']);
  const juliet = await joined.enter(2, 'juliet', 'balcony');
  const room = roomOn(joined, 0);
  await makeRoom(juliet, room, 'Juliet');
  const nurse = await joined.enter(1, 'nurse', 'here');
  await joinRoom(nurse, room, 'Nurse');
  await hears(juliet, /\/Nurse"/);
  for (let i = 0; i < 210; i++) {
    nurse.write(`<presence to='own${i}@${HOST}/Nurse'><x xmlns='http://jabber.org/protocol/muc'/></presence>`);
  }
  await hears(nurse, /from="own209@/);
  expect(await holderOf(joined, room, 2)).toBe(joined.clusters[0]!.self);
  joined.kill(1);
  await hears(juliet, new RegExp(`from="${room}@${HOST}/Nurse"`));
});

test('Redis comes back empty: rooms have their people when their node dies after that', async () => {
  const own = await startRedis();
  try {
    joined = await joinServers(own.url, ['one', 'two', 'three'], {}, { clock: systemClock });
    const { room, romeo, juliet } = await meet();
    const ears = [new Ear(romeo), new Ear(juliet)];
    await own.stop('empty');
    await own.start();
    for (const cluster of joined.clusters) await expect.poll(() => cluster.nodes.size, { timeout: 10_000 }).toBe(3);
    await pause(1_000);
    joined.kill(1);
    // what is under way as the node dies is refused
    const isHeard = (): boolean => {
      say(juliet, room, 'j');
      return ears.every((ear) => ear.heard.includes('j'));
    };
    await expect.poll(isHeard, { timeout: 15_000, interval: 300 }).toBe(true);
  } finally {
    await joined.stop();
    await own.remove();
  }
}, 60_000);
