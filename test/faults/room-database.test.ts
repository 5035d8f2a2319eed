// Rooms whose database is away: whoever is inside goes on talking, what would have to be written is refused to be tried again, and nothing is half done.
import type { Element } from 'ltx';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { cached } from '../../src/storage/cached.ts';
import { createPostgresDriver } from '../../src/storage/postgres/driver.ts';
import { NS } from '../../src/xmpp/ns.ts';
import type { StreamClient } from '../kit/client.ts';
import { logIn } from '../kit/login.ts';
import { startPostgres, type TestPostgres } from '../kit/postgres.ts';
import { TestServer } from '../kit/test-server.ts';
import { joinRoom, makeRoom } from './rooms.ts';

const domain = 'verona.test';
const COVEN = `coven@groups.${domain}`;
const PATIENCE = { timeout: 20_000, interval: 50 };
const cleanups: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

let postgres: TestPostgres;
let server: TestServer;
let romeo: StreamClient;
let juliet: StreamClient;
let mercutio: StreamClient;

async function enter(user: string): Promise<StreamClient> {
  await server.server.accounts.create(`${user}@${domain}`, 'secret');
  const { client } = await logIn(server.c2s, { domain, user, password: 'secret', resource: 'r' });
  cleanups.push(() => client.destroy());
  return client;
}

beforeEach(async () => {
  postgres = await startPostgres();
  cleanups.push(() => postgres.remove());
  const options = { connection: postgres.config, patience: 1_000, timeout: 1_000 };
  const driver = cached(createPostgresDriver(options), {});
  cleanups.push(() => driver.close());
  server = await TestServer.start({ hosts: { [domain]: {} } }, { driver });
  cleanups.push(() => server.stop());
  [romeo, juliet, mercutio] = [await enter('romeo'), await enter('juliet'), await enter('mercutio')];
  const persistent = "<field var='muc#roomconfig_persistentroom'><value>1</value></field>";
  await makeRoom(romeo, 'coven', 'Romeo', persistent);
  await joinRoom(juliet, 'coven', 'Juliet');
  await romeo.fence();
  romeo.inbox.length = 0;
});

const heard = ({ inbox }: StreamClient): Element[] =>
  inbox.flatMap((item) => (item.kind === 'element' ? [item.element] : []));
const answerTo = (client: StreamClient, id: string): Element | undefined =>
  heard(client).find(({ attrs }) => attrs.id === id);

async function answered(client: StreamClient, stanza: string): Promise<Element> {
  const id = /id='([^']*)'/.exec(stanza)![1]!;
  client.write(stanza);
  await expect.poll(() => answerTo(client, id), PATIENCE).toBeDefined();
  return answerTo(client, id)!;
}

function expectWait(answer: Element): void {
  expect(answer.attrs.type, String(answer)).toBe('error');
  expect(answer.getChild('error')!.attrs.type, String(answer)).toBe('wait');
}

let asked = 0;
const config = (field: string, value: string): string =>
  `<iq type='set' id='c${++asked}' to='${COVEN}'><query xmlns='${NS.mucOwner}'><x xmlns='jabber:x:data' type='submit'><field var='${field}'><value>${value}</value></field></x></query></iq>`;
const admin = (item: string): string =>
  `<iq type='set' id='a${++asked}' to='${COVEN}'><query xmlns='${NS.mucAdmin}'>${item}</query></iq>`;
const subjectOf = async (client: StreamClient): Promise<string> =>
  String(await answered(client, `<iq type='get' id='i${++asked}' to='${COVEN}'><query xmlns='${NS.discoInfo}'/></iq>`));
const members = async (): Promise<string> =>
  String(
    await answered(
      romeo,
      `<iq type='get' id='m${++asked}' to='${COVEN}'><query xmlns='${NS.mucAdmin}'><item affiliation='member'/></query></iq>`,
    ),
  );

const outages: Record<string, () => Promise<() => Promise<void>>> = {
  async stopped() {
    await postgres.stop('fast');
    return () => postgres.start();
  },
  async killed() {
    await postgres.stop('kill');
    return () => postgres.start();
  },
};

test.each(Object.keys(outages))(
  'while the database is %s people go on talking, and changes are refused as a whole; afterwards all is as it was, and changes',
  async (how) => {
    const recover = await outages[how]!();
    try {
      // what is said goes to everybody
      romeo.write(`<message to='${COVEN}' type='groupchat' id='meanwhile'><body>But soft</body></message>`);
      await expect.poll(() => answerTo(juliet, 'meanwhile')?.attrs.type, PATIENCE).toBe('groupchat');
      // who enters is in, if without what was said before
      mercutio.write(`<presence to='${COVEN}/Mercutio' id='j'><x xmlns='${NS.muc}'/></presence>`);
      await expect.poll(() => heard(mercutio).some((one) => one.getChild('subject')), PATIENCE).toBe(true);
      expect(answerTo(mercutio, 'j')?.attrs.type).toBeUndefined();
      // but nothing else changes
      expectWait(await answered(romeo, config('muc#roomconfig_roomname', 'Lair')));
      expectWait(
        await answered(
          romeo,
          admin(`<item affiliation='member' jid='a@${domain}'/><item affiliation='owner' jid='juliet@${domain}'/>`),
        ),
      );
      expectWait(await answered(romeo, admin(`<item affiliation='outcast' jid='mercutio@${domain}'/>`)));
      expectWait(
        await answered(
          mercutio,
          `<iq type='set' id='r' to='${COVEN}'><query xmlns='${NS.register}'><x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE'><value>${NS.mucRegister}</value></field><field var='muc#register_roomnick'><value>Queen Mab</value></field></x></query></iq>`,
        ),
      );
      expectWait(
        await answered(
          mercutio,
          `<presence to='cell@groups.${domain}/Mercutio' id='n'><x xmlns='${NS.muc}'/></presence>`,
        ),
      );
      expect(await members()).not.toContain('@verona.test"/>');
      expect(await subjectOf(mercutio)).not.toContain('Lair');
      await juliet.fence();
      for (const one of heard(juliet))
        expect(String(one)).not.toMatch(/affiliation="(owner|outcast|member)".*(Juliet|a@|mercutio)/);
      expect(
        await answered(mercutio, `<iq type='get' id='p' to='${COVEN}/Mercutio'><ping xmlns='${NS.ping}'/></iq>`),
      ).toMatchObject({ attrs: { type: 'result' } });
    } finally {
      await recover();
    }
    await expect
      .poll(async () => (await answered(romeo, config('muc#roomconfig_roomname', 'Lair'))).attrs.type, {
        timeout: 30_000,
        interval: 500,
      })
      .toBe('result');
    expect(await subjectOf(mercutio)).toContain('Lair');
    expect((await answered(romeo, admin(`<item affiliation='member' jid='juliet@${domain}'/>`))).attrs.type).toBe(
      'result',
    );
    expect(await members()).toContain(`juliet@${domain}`);
    // nothing of the room that could not be made is left: it is new
    await makeRoom(mercutio, 'cell', 'Mercutio');
    // what was said meanwhile is kept
    romeo.inbox.length = 0;
    await expect
      .poll(async () => {
        await answered(romeo, `<iq type='set' id='q${++asked}' to='${COVEN}'><query xmlns='${NS.mam}'/></iq>`);
        return heard(romeo).some(
          (one) => String(one).includes('But soft') && one.getChild('result', NS.mam) !== undefined,
        );
      }, PATIENCE)
      .toBe(true);
  },
  120_000,
);
