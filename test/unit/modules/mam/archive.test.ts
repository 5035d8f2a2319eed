import type { Element as Heard } from 'ltx';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { parseConfig } from '../../../../src/config/load.ts';
import { bind2Inline, messageOut } from '../../../../src/core/events.ts';
import { Transit } from '../../../../src/core/transit.ts';
import { loadModules } from '../../../../src/index.ts';
import { Server } from '../../../../src/server.ts';
import { StorageUnavailable } from '../../../../src/storage/errors.ts';
import { createMemoryDriver } from '../../../../src/storage/memory.ts';
import type { ArchiveStore, Driver, KvStore } from '../../../../src/storage/ports.ts';
import { type Element, el } from '../../../../src/xml/element.ts';
import { type BareJid, Jid } from '../../../../src/xmpp/jid.ts';
import { NS } from '../../../../src/xmpp/ns.ts';
import { type Message, messageOf } from '../../../../src/xmpp/stanza.ts';
import type { StreamClient } from '../../../kit/client.ts';
import { FakeClock, turn } from '../../../kit/clock.ts';
import { createNodes, type Nodes } from '../../../kit/cluster-pair.ts';
import { logIn } from '../../../kit/login.ts';
import { TestServer } from '../../../kit/test-server.ts';

const domain = 'verona.test';
const romeo = `romeo@${domain}` as BareJid;
const juliet = `juliet@${domain}` as BareJid;

const heard = (client: StreamClient, name = 'message'): Heard[] =>
  client.inbox.flatMap((item) => (item.kind === 'element' && item.element.name === name ? [item.element] : []));
const idsOf = (client: StreamClient): (string | undefined)[] => heard(client).map(({ attrs }) => attrs.id as string);

/** What a page of the archive brought: ids of the archived messages, once they are read. */
async function readArchive(client: StreamClient): Promise<(string | undefined)[]> {
  client.inbox.length = 0;
  client.write("<iq type='set' id='q'><query xmlns='urn:xmpp:mam:2'/></iq>");
  await client.fence();
  const results = heard(client).map((message) => message.getChild('result', NS.mam)!);
  return results.map((result) => result.getChild('forwarded')!.getChild('message')!.attrs.id as string);
}

describe('on one node', () => {
  let clock: FakeClock;
  let server: Server;
  let clients: StreamClient[];
  /** Into whose archives messages were put, one after the other. */
  let appended: string[];
  /** What the database does not do at present: begin with a message, append for an owner, read, or look for preferences. */
  let broken: {
    begin?: boolean;
    append?: string;
    reading?: boolean;
    prefs?: boolean | string;
    durable?: Promise<void>;
    retracting?: Promise<void>;
    /** Happens once the ends of an archive were read. */
    meanwhile?: () => Promise<void>;
  };

  /** A database that fails on demand. */
  function fragile(driver: Driver): Driver {
    const check = (isBroken: boolean | undefined): void => {
      if (isBroken) throw new StorageUnavailable('the database is away');
    };
    return {
      ...driver,
      async open(host, module, specs) {
        const opened = await driver.open(host, module, specs);
        if (module !== 'mam') return opened;
        const [messages, prefs] = [opened.messages as ArchiveStore, opened.prefs as KvStore<unknown>];
        const store: ArchiveStore = {
          ...messages,
          begin() {
            check(broken.begin);
            messages.begin();
          },
          append(owner, message) {
            check(broken.append === owner);
            appended.push(owner);
            const { id, durable } = messages.append(owner, message);
            return { id, durable: broken.durable ?? durable };
          },
          async find(owner, query) {
            check(broken.reading);
            return messages.find(owner, query);
          },
          async ends(owner) {
            check(broken.reading);
            const ends = await messages.ends(owner);
            await broken.meanwhile?.();
            return ends;
          },
          async lookup(owner, from) {
            await broken.retracting;
            return messages.lookup(owner, from);
          },
        };
        const kv: KvStore<unknown> = {
          ...prefs,
          get(owner) {
            check(broken.prefs === true || broken.prefs === owner);
            return prefs.get(owner);
          },
        };
        return { ...opened, messages: store, prefs: kv };
      },
    };
  }

  beforeEach(async () => {
    clock = new FakeClock();
    broken = {};
    appended = [];
    clients = [];
    const config = parseConfig({
      database: 'memory',
      tls: { required: false },
      limits: { enabled: false, 'idle-timeout': '100d' },
      listen: { address: ['127.0.0.1'], c2s: 0, 'c2s-tls': null, s2s: null, http: null },
      hosts: { [domain]: {} },
    });
    const driver = fragile(createMemoryDriver(clock));
    server = await Server.start(config, { modules: await loadModules(config), clock, driver, iterations: 1 });
    for (const user of ['romeo', 'juliet']) await server.hosts.get(domain)!.accounts.create(user, 'secret');
  });
  afterEach(async () => {
    for (const client of clients) await client.destroy();
    await server.stop();
  });

  async function enter(user: string, resource: string, presence = '<presence/>'): Promise<StreamClient> {
    const address = server.address('c2s')!;
    const { client } = await logIn(address, { domain, user, password: 'secret', resource });
    clients.push(client);
    client.write(presence);
    await client.fence();
    client.inbox.length = 0;
    return client;
  }

  const say = async (client: StreamClient, id: string, more = ''): Promise<void> => {
    client.write(`<message to='${juliet}' type='chat' id='${id}'><body>Lady</body>${more}</message>`);
    await client.fence();
  };

  test("what the recipient's preferences are not known for is in nobody's archive, and there once when it is sent again", async () => {
    const orchard = await enter('romeo', 'orchard');
    broken = { prefs: 'juliet' };
    await say(orchard, '1');
    expect(heard(orchard)[0]!.getChild('error')!.attrs.type).toBe('wait');
    broken = {};
    await say(orchard, '1');
    expect(await readArchive(orchard)).toEqual(['1']);
    expect(await readArchive(await enter('juliet', 'balcony'))).toEqual(['1']);
  });

  test.each([
    ['archives', { begin: true }],
    ["the recipient's archive", { append: 'juliet' }],
    ['the preferences', { prefs: true }],
  ])(
    'when the database takes nothing for %s, the sender is told to wait, and nothing is delivered',
    async (_what, problem) => {
      const [orchard, balcony] = [await enter('romeo', 'orchard'), await enter('juliet', 'balcony')];
      broken = problem;
      await say(orchard, '1');
      const error = heard(orchard)[0]!.getChild('error')!;
      expect(error.attrs.type).toBe('wait');
      expect(error.getChild('resource-constraint', NS.stanzas)).toBeDefined();
      await balcony.fence();
      expect(heard(balcony)).toEqual([]);
      broken = {};
      await say(orchard, '2');
      await balcony.fence();
      expect(idsOf(balcony)).toEqual(['2']);
    },
  );

  test.each([
    ['a query', "<iq type='set' id='q'><query xmlns='urn:xmpp:mam:2'/></iq>"],
    ['metadata', "<iq type='get' id='q'><metadata xmlns='urn:xmpp:mam:2'/></iq>"],
  ])('while the database is away, %s is answered with "wait", and by itself when it is back', async (_what, iq) => {
    const balcony = await enter('juliet', 'balcony');
    broken = { reading: true };
    balcony.write(iq);
    await balcony.fence();
    const error = heard(balcony, 'iq')[0]!.getChild('error')!;
    expect(error.attrs.type).toBe('wait');
    expect(error.getChild('resource-constraint', NS.stanzas)).toBeDefined();
    broken = {};
    balcony.inbox.length = 0;
    balcony.write(iq);
    await balcony.fence();
    expect(heard(balcony, 'iq')[0]!.attrs.type).toBe('result');
  });

  /** A message of Romeo's, as far as it is his archive's. */
  function archiveSent(id: string, payload: Element): Transit<Message> {
    const session = server.sessions.get(`${romeo}/orchard`)!;
    const element = el('message', null, { from: session.jid.full, to: juliet, type: 'chat', id }, payload);
    const transit = new Transit(messageOf(element, session.jid, Jid.parse(juliet)!), { kind: 'client', session });
    expect(session.host.gate(messageOut, transit)).toBeUndefined();
    transit.conclude();
    return transit;
  }

  test('whoever finds a message in the own archive can be sure that it is in the other one: that was written first', async () => {
    const [orchard] = [await enter('romeo', 'orchard'), await enter('juliet', 'balcony')];
    await say(orchard, '1');
    expect(appended).toEqual(['juliet', 'romeo']);
  });

  test('what was refused is in no archive', async () => {
    const orchard = await enter('romeo', 'orchard');
    broken = { append: 'juliet' };
    await say(orchard, '1');
    expect(heard(orchard)[0]!.attrs.type).toBe('error');
    broken = {};
    expect(await readArchive(orchard)).toEqual([]);
  });

  test('an acknowledgement waits for the disk, delivery does not', async () => {
    const balcony = await enter('juliet', 'balcony');
    await enter('romeo', 'orchard');
    let onDisk = (): void => {};
    broken.durable = new Promise((resolve) => {
      onDisk = resolve;
    });
    const transit = archiveSent('1', el('body', null));
    let isSettled = false;
    const settled = transit.settled!.then(() => {
      isSettled = true;
    });
    await say(clients[1]!, '2');
    await balcony.fence();
    expect(idsOf(balcony)).toEqual(['2']);
    expect(isSettled).toBe(false);
    onDisk();
    await settled;
  });

  test('who asks for many pages at once gets smaller ones, and keeps the session', async () => {
    const orchard = await enter('romeo', 'orchard');
    for (let n = 0; n < 120; n++) {
      orchard.write(`<message to='${juliet}' type='chat' id='${n}'><body>Lady</body></message>`);
    }
    await orchard.fence();
    const balcony = await enter('juliet', 'balcony', "<enable xmlns='urn:xmpp:sm:3'/>");
    const page =
      "<query xmlns='urn:xmpp:mam:2'><set xmlns='http://jabber.org/protocol/rsm'><max>100</max></set></query>";
    const queries = Array.from({ length: 90 }, (_, n) => `<iq type='set' id='q${n}'>${page}</iq>`);
    balcony.write(queries.join(''));
    await balcony.fence();
    const answers = heard(balcony, 'iq').filter(({ attrs }) => String(attrs.id).startsWith('q'));
    expect(answers.map(({ attrs }) => attrs.type)).toEqual(queries.map(() => 'result'));
    expect(heard(balcony).length).toBeGreaterThan(4000);
    expect(server.sessions.get(`${juliet}/balcony`)).toBeDefined();
    // none of the later ones says that it was all
    expect(answers.every((iq) => iq.getChild('fin', NS.mam)!.attrs.complete === undefined)).toBe(true);
  });

  describe('who binds with Bind 2', () => {
    async function bindInline(resource: string): Promise<Element[]> {
      const session = server.sessions.get(`${juliet}/${resource}`)!;
      const bound: Element[] = [];
      await session.host.collect(bind2Inline, { session, request: el('bind', 'urn:xmpp:bind:0'), bound });
      return bound;
    }

    test('is told what is at both ends of the archive', async () => {
      await enter('juliet', 'balcony', '');
      expect((await bindInline('balcony')).map((one) => one.toXml())).toContain("<metadata xmlns='urn:xmpp:mam:2'/>");
      const orchard = await enter('romeo', 'orchard');
      await say(orchard, '1');
      const [metadata] = (await bindInline('balcony')).filter((one) => one.is('metadata', NS.mam));
      expect(metadata!.getChild('start')!.attrs).toEqual(metadata!.getChild('end')!.attrs);
      expect(metadata!.getChild('start')!.attrs.timestamp).toBe(new Date(clock.now()).toISOString());
    });

    test('finds in the archive what was kept meanwhile, and is sent only what is not there', async () => {
      const orchard = await enter('romeo', 'orchard');
      await say(orchard, '1');
      await say(orchard, '2', `<no-permanent-store xmlns='${NS.hints}'/>`);
      await say(orchard, '3');
      const balcony = await enter('juliet', 'balcony', '');
      await bindInline('balcony');
      balcony.write('<presence/>');
      await balcony.fence();
      expect(idsOf(balcony)).toEqual(['2']);
      expect(await readArchive(balcony)).toEqual(['1', '3']);
    });

    test('misses nothing that comes while it is told', async () => {
      const orchard = await enter('romeo', 'orchard');
      const balcony = await enter('juliet', 'balcony', '');
      broken.meanwhile = () => say(orchard, '1');
      const [metadata] = (await bindInline('balcony')).filter((one) => one.is('metadata', NS.mam));
      expect(metadata!.children).toEqual([]);
      balcony.write('<presence/>');
      await balcony.fence();
      expect(idsOf(balcony)).toEqual(['1']);
    });
  });

  test('the acknowledgement of a retraction waits until it is done, or has failed', async () => {
    const orchard = await enter('romeo', 'orchard');
    await say(orchard, '1');
    let fail = (_: Error): void => {};
    broken.retracting = new Promise((_resolve, reject) => {
      fail = reject;
    });
    const retract = (): Promise<unknown> => archiveSent('2', el('retract', NS.retraction, { id: '1' })).settled!;
    let isSettled = false;
    const refused = retract().finally(() => {
      isSettled = true;
    });
    await turn();
    expect(isSettled).toBe(false);
    fail(new StorageUnavailable('the database is away'));
    await expect(refused).rejects.toThrow(StorageUnavailable);
    delete broken.retracting;
    await retract();
    expect(await server.metrics.text()).toContain(`parley_mam_retracted_total{host="${domain}"} 1`);
  });

  test.each([
    ['accounts', romeo, true],
    // XEP-0359 3, 7: else ids that claim to be the host's would be believed
    ['not by the host', domain, false],
  ])('ids are given by %s', async (_what, to, isThere) => {
    const orchard = await enter('romeo', 'orchard');
    orchard.write(`<iq type='get' id='d' to='${to}'><query xmlns='${NS.discoInfo}'/></iq>`);
    await orchard.fence();
    const features = heard(orchard, 'iq')[0]!.getChild('query')!.getChildren('feature');
    expect(features.some(({ attrs }) => attrs.var === NS.stanzaIds)).toBe(isThere);
  });

  test('an account that is removed leaves no archive behind', async () => {
    const orchard = await enter('romeo', 'orchard');
    await say(orchard, '1');
    const { accounts } = server.hosts.get(domain)!;
    await accounts.remove('juliet');
    await accounts.create('juliet', 'secret');
    expect(await readArchive(await enter('juliet', 'balcony'))).toEqual([]);
    expect(await readArchive(orchard)).toEqual(['1']);
  });

  test('what happens is counted', async () => {
    const orchard = await enter('romeo', 'orchard');
    await say(orchard, '1');
    await readArchive(orchard);
    const text = await server.metrics.text();
    expect(text).toContain(`parley_mam_stored_total{host="${domain}"} 2`);
    expect(text).toContain(`parley_mam_queries_total{host="${domain}"} 1`);
    expect(text).toContain(`parley_mam_replayed_total{host="${domain}"} 1`);
  });
});

describe('on two nodes', () => {
  let clock: FakeClock;
  let nodes: Nodes;
  let servers: TestServer[];
  let clients: StreamClient[];

  beforeEach(async () => {
    clock = new FakeClock();
    nodes = createNodes();
    servers = [];
    clients = [];
    const driver = createMemoryDriver(clock);
    for (const cluster of nodes.clusters)
      servers.push(await TestServer.start({ hosts: { [domain]: {} } }, { clock, cluster, driver }));
    for (const user of ['romeo', 'juliet']) await servers[0]!.server.accounts.create(`${user}@${domain}`, 'secret');
  });
  afterEach(async () => {
    nodes.hold(false);
    for (const client of clients) await client.destroy();
    await settle();
    expect(servers.flatMap((server) => server.errors)).toEqual([]);
    for (const server of servers) await server.stop();
  });

  const settle = async (): Promise<void> => {
    for (let round = 0; round < 4; round++) {
      await turn();
      await nodes.idle();
    }
    for (const client of clients) if (!client.isClosed) await client.fence();
  };

  async function enter(node: 0 | 1, user: string, resource: string, priority: number): Promise<StreamClient> {
    const { client } = await logIn(servers[node]!.c2s, { domain, user, password: 'secret', resource });
    clients.push(client);
    client.write(`<presence><priority>${priority}</priority></presence>`);
    await settle();
    client.inbox.length = 0;
    return client;
  }

  test('a message whose reader left on the way goes to another device under the id it has, and is archived once', async () => {
    const balcony = await enter(0, 'juliet', 'balcony', 0);
    const garden = await enter(0, 'romeo', 'garden', 0);
    const orchard = await enter(1, 'romeo', 'orchard', 5);
    nodes.hold(true);
    balcony.write(`<message to='${romeo}' type='chat' id='m'><body>Romeo</body></message>`);
    await balcony.fence();
    await turn();
    await orchard.destroy();
    const isThere = async (): Promise<boolean> =>
      (await nodes.clusters[0]!.directory.sessions(romeo)).some((entry) => entry.jid.resource === 'orchard');
    for (let rounds = 0; rounds < 200 && (await isThere()); rounds++) await turn();
    nodes.hold(false);
    await settle();
    expect(idsOf(garden)).toEqual(['m']);
    const [message] = heard(garden);
    const ids = message!.getChildren('stanza-id', NS.stanzaIds);
    expect(ids.map(({ attrs }) => attrs.by)).toEqual([romeo]);
    expect(await readArchive(garden)).toEqual(['m']);
    const [result] = heard(garden);
    expect(result!.getChild('result', NS.mam)!.attrs.id).toBe(ids[0]!.attrs.id);
  });
});
