// Parley as @xmpp/client sees it: a client written by others, against the command as people run it.
import { randomUUID } from 'node:crypto';
import { type Client, client, xml } from '@xmpp/client';
import type { Element } from 'ltx';
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest';
import { ChildServer, passwordOf, until } from '../kit/child-server.ts';

const domain = 'chat.example';
const patience = 8_000;

let server: ChildServer;
let clients: Person[] = [];
// the certificate is one of a local authority, and the library has no place to name it
const before = process.env.NODE_TLS_REJECT_UNAUTHORIZED;

beforeAll(async () => {
  vi.spyOn(process, 'emitWarning').mockImplementation(() => {});
  process.env.NODE_TLS_REJECT_UNAUTHORIZED = '0';
  server = await ChildServer.start({ hosts: { [domain]: {} } });
  await server.addUsers(domain, ['romeo', 'juliet', 'nurse', 'tybalt']);
});

afterEach(async () => {
  await Promise.all(clients.map((one) => one.leave()));
  clients = [];
});

afterAll(async () => {
  await server?.[Symbol.asyncDispose]();
  if (before === undefined) delete process.env.NODE_TLS_REJECT_UNAUTHORIZED;
  else process.env.NODE_TLS_REJECT_UNAUTHORIZED = before;
  vi.restoreAllMocks();
});

type Transport = 'STARTTLS' | 'direct TLS';
type Wishes = Partial<Parameters<typeof client>[0]> & { readonly transport?: Transport };

/** Somebody at a client, with all the stanzas that came. */
class Person {
  readonly client: Client;
  readonly seen: Element[] = [];
  readonly errors: (Error & { readonly condition?: string })[] = [];
  jid = '';

  constructor(user: string, options: Wishes = {}) {
    const { transport = 'STARTTLS', ...more } = options;
    this.client = client({
      service: serviceOf(transport),
      domain,
      username: user,
      password: passwordOf(user),
      ...more,
    });
    this.client.reconnect.stop();
    this.client.on('stanza', (stanza) => this.seen.push(stanza));
    this.client.on('error', (error) => this.errors.push(error));
    this.client.on('online', (address) => {
      this.jid = address.toString();
    });
    clients.push(this);
  }

  get bare(): string {
    return this.jid.replace(/\/.*/, '');
  }

  /** Logs in, asks for the roster, and is available. */
  static async online(user: string, options: Wishes = {}): Promise<Person> {
    const person = new Person(user, options);
    await person.start();
    await person.roster();
    await person.client.send(xml('presence'));
    return person;
  }

  /** The library may miss the answer to its header when that comes at once, and so `start` itself must not be waited for. */
  start(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.client.on('online', () => resolve());
      this.client.on('error', reject);
      this.client.start().catch(() => {});
    });
  }

  async roster(): Promise<ReadonlyMap<string, Element>> {
    const query = await this.client.iqCaller.get(xml('query', 'jabber:iq:roster'));
    return new Map(query.getChildren('item').map((item) => [String(item.attrs.jid), item]));
  }

  say(to: string, body: string): Promise<void> {
    return this.client.send(xml('message', { to, type: 'chat', id: body }, xml('body', {}, body)));
  }

  /** Bodies of messages, in the order of their arrival. */
  get heard(): readonly string[] {
    return this.seen.flatMap((stanza) => stanza.getChildText('body') ?? []);
  }

  presence(from: string, type?: string): Element | undefined {
    return this.seen.find(
      ({ name, attrs }) => name === 'presence' && String(attrs.from).startsWith(from) && attrs.type === type,
    );
  }

  async sees(what: string, holds: () => unknown): Promise<void> {
    if (await until(patience, () => Boolean(holds()))) return;
    throw new Error(`${this.jid} never saw ${what}; it saw:\n${this.seen.join('\n')}`);
  }

  async leave(): Promise<void> {
    this.client.reconnect.stop();
    if (this.client.status !== 'offline') await this.client.stop().catch(() => {});
  }
}

function serviceOf(transport: Transport): string {
  const { address, port } = server.address(transport === 'STARTTLS' ? 'c2s' : 'c2s-tls');
  return `${transport === 'STARTTLS' ? 'xmpp' : 'xmpps'}://${address}:${port}`;
}

describe.each<Transport>(['STARTTLS', 'direct TLS'])('over %s', (transport) => {
  test('two people find each other, talk, and part', async () => {
    const romeo = await Person.online('romeo', { transport, resource: 'orchard' });
    const juliet = await Person.online('juliet', { transport, resource: 'balcony' });
    // the library's resource is the tag of Bind 2 (XEP-0386)
    expect(romeo.jid).toMatch(`romeo@${domain}/orchard/`);

    await romeo.client.iqCaller.set(
      xml('query', 'jabber:iq:roster', xml('item', { jid: juliet.bare, name: 'J' }, xml('group', {}, 'Capulets'))),
    );
    await romeo.sees('the push of its roster', () => romeo.seen.some(({ attrs }) => attrs.type === 'set'));
    await subscribe(romeo, juliet);
    await subscribe(juliet, romeo);
    expect((await romeo.roster()).get(juliet.bare)?.attrs).toMatchObject({ subscription: 'both', name: 'J' });
    expect((await juliet.roster()).get(romeo.bare)?.attrs).toMatchObject({ subscription: 'both' });

    await juliet.client.send(xml('presence', {}, xml('show', {}, 'away')));
    await romeo.sees('that she is away', () =>
      romeo.seen.some((stanza) => stanza.attrs.from === juliet.jid && stanza.getChildText('show') === 'away'),
    );

    const lines = Array.from({ length: 200 }, (_, i) => `line ${i}`);
    await Promise.all([
      (async () => {
        for (const line of lines) await romeo.say(juliet.bare, line);
      })(),
      (async () => {
        for (const line of lines) await juliet.say(romeo.jid, line);
      })(),
    ]);
    await juliet.sees('200 messages', () => juliet.heard.length === 200);
    await romeo.sees('200 messages', () => romeo.heard.length === 200);
    expect(juliet.heard).toEqual(lines);
    expect(romeo.heard).toEqual(lines);

    await juliet.leave();
    await romeo.sees('her leave', () => romeo.presence(juliet.jid, 'unavailable'));
    await romeo.client.iqCaller.set(
      xml('query', 'jabber:iq:roster', xml('item', { jid: juliet.bare, subscription: 'remove' })),
    );
    expect(await romeo.roster()).toEqual(new Map());
  });

  test('messages for somebody who is away are kept', async () => {
    const romeo = await Person.online('romeo', { transport });
    const since = Date.now() - 1000;
    for (const line of ['first', 'second', 'third']) await romeo.say(`nurse@${domain}`, line);
    // what is answered after them was handled after them
    await romeo.client.iqCaller.get(xml('ping', 'urn:xmpp:ping'), domain);

    // with Bind 2 they are in the archive, and are not sent besides (XEP-0386 3.2)
    const nurse = await Person.online('nurse', { transport });
    const page = await nurse.client.iqCaller.request(xml('iq', { type: 'set' }, xml('query', 'urn:xmpp:mam:2')));
    expect(page.getChild('fin', 'urn:xmpp:mam:2')?.attrs.complete).toBe('true');
    const forwarded = nurse.seen.flatMap(
      (stanza) => stanza.getChild('result', 'urn:xmpp:mam:2')?.getChild('forwarded', 'urn:xmpp:forward:0') ?? [],
    );
    const bodies = forwarded.map((one) => one.getChild('message')?.getChildText('body'));
    expect(bodies.slice(-3)).toEqual(['first', 'second', 'third']);
    for (const one of forwarded.slice(-3)) {
      expect(Date.parse(one.getChild('delay', 'urn:xmpp:delay')?.attrs.stamp)).toBeGreaterThan(since);
      expect(one.getChild('message')?.attrs.from).toBe(romeo.jid);
    }
    expect(nurse.heard).toEqual([]);
    await nurse.leave();

    const again = await Person.online('nurse', { transport });
    await again.client.iqCaller.get(xml('ping', 'urn:xmpp:ping'), domain);
    expect(again.heard).toEqual([]);
  });

  test('a wrong password, and a name that nobody has, are refused alike', async () => {
    for (const user of ['romeo', 'nobody']) {
      const refusal = await new Promise((resolve) => {
        const stranger = new Person(user, {
          // the library would leave the error to nobody when the answer comes early, so that it is taken here
          async credentials(authenticate, mechanisms) {
            await authenticate({ username: user, password: 'wrong' }, mechanisms[0]!).catch(resolve);
            await new Promise(() => {});
          },
          transport,
        });
        stranger.client.start().catch(() => {});
      });
      expect(refusal).toMatchObject({ name: 'SASLError', condition: 'not-authorized' });
    }
  });

  test('who registers in band can log in at once, and nobody takes the name again', async () => {
    // nobody has the name yet, when this is tried once more too
    const user = `new-${randomUUID()}`;
    const register = (password: string): Promise<unknown> =>
      new Promise((resolve) => {
        const applicant: Person = new Person(user, {
          transport,
          async credentials(authenticate, mechanisms) {
            const query = xml('query', 'jabber:iq:register', xml('username', {}, user), xml('password', {}, password));
            try {
              await applicant.client.iqCaller.set(query);
            } catch (error) {
              resolve(error);
              await new Promise(() => {});
            }
            await authenticate({ username: user, password }, mechanisms[0]!);
          },
        });
        applicant.start().then(() => resolve(applicant.jid), resolve);
      });
    expect(String(await register('one'))).toMatch(`${user}@${domain}/`);
    expect(await register('two')).toMatchObject({ name: 'StanzaError', condition: 'conflict' });
    const person = new Person(user, { transport, password: 'one' });
    await person.start();
    expect(person.bare).toBe(`${user}@${domain}`);
  });

  test('a client that connects anew takes the place of its session before', async () => {
    const userAgent = xml('user-agent', { id: '35a4fd05-5f8f-4e3b-8a1d-0ab44a2b5f8c' });
    const first = await Person.online('tybalt', { transport, resource: 'street', userAgent });
    const second = await Person.online('tybalt', { transport, resource: 'street', userAgent });
    expect(second.jid).toBe(first.jid);
    await first.sees('that it was replaced', () => first.errors.length > 0);
    // the library may say it twice, and what became of the socket, which has no condition
    const conditions = first.errors.map(({ condition }) => condition).filter((one) => one !== undefined);
    expect(new Set(conditions)).toEqual(new Set(['conflict']));

    const romeo = await Person.online('romeo', { transport });
    await romeo.say(second.jid, 'still there?');
    await second.sees('a message', () => second.heard.length === 1);
    expect(first.heard).toEqual([]);
  });

  test('clients come back by themselves when the server was restarted', async () => {
    const romeo = await Person.online('romeo', { transport });
    romeo.client.reconnect.delay = 200;
    romeo.client.reconnect.start();
    let returns = 0;
    // its session is kept for it (XEP-0198), and so it goes on without an error
    romeo.client.streamManagement.on('resumed', () => {
      returns++;
    });

    const gone = new Promise<void>((resolve) => romeo.client.on('disconnect', resolve));
    expect(await server.stop()).toEqual({ code: 0, signal: null });
    await gone;
    expect(romeo.errors.flatMap(({ condition }) => condition ?? [])).toEqual([]);
    await server.start();

    await romeo.sees('that it is online again', () => returns > 0);
    await romeo.client.send(xml('presence'));
    const juliet = await Person.online('juliet', { transport });
    await juliet.say(romeo.jid, 'welcome back');
    await romeo.sees('a message', () => romeo.heard.includes('welcome back'));
  });
});

test('the server never logged an error', () => {
  expect(server.output.split('\n').filter((line) => line.includes('"level":"error"'))).toEqual([]);
});

/** RFC 6121 3.1: one asks, the other agrees, and the one sees the presence of the other. */
async function subscribe(one: Person, other: Person): Promise<void> {
  await one.client.send(xml('presence', { to: other.bare, type: 'subscribe' }));
  await other.sees('the request', () => other.presence(one.bare, 'subscribe'));
  await other.client.send(xml('presence', { to: one.bare, type: 'subscribed' }));
  await one.sees('the approval', () => one.presence(other.bare, 'subscribed'));
  await one.sees('the presence', () => one.presence(other.jid));
}
