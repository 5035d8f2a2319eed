// What a server tells of itself to a client that asks everywhere: its features by service discovery (XEP-0030), and those of streams.
import type { Element } from 'ltx';
import { StreamClient } from './client.ts';
import { authenticate, bind, openStream, startTls } from './login.ts';
import type { TestServer } from './test-server.ts';

/** `room` and `node` are made for the question; `stream` is what stream features tell, by the namespaces of all they contain. */
export type Place = 'server' | 'account' | 'rooms' | 'room' | 'pubsub' | 'node' | 'upload' | 'proxy' | 'stream';

export type Announced = ReadonlyMap<Place, ReadonlySet<string>>;

/** The kinds of services below a domain, by their identities. */
const kinds: Readonly<Record<string, Place>> = {
  'conference/text': 'rooms',
  'pubsub/service': 'pubsub',
  'store/file': 'upload',
  'proxy/bytestreams': 'proxy',
};

export async function readAnnounced(
  server: TestServer,
  { user, password, domain }: { readonly user: string; readonly password: string; readonly domain: string },
): Promise<Announced> {
  const client = await StreamClient.connect(server.c2s);
  const streams = [await openStream(client, domain)];
  await startTls(client, domain);
  streams.push(await openStream(client, domain));
  await authenticate(client, { user, password });
  streams.push(await openStream(client, domain));
  await bind(client);
  const announced = new Map<Place, ReadonlySet<string>>([['stream', new Set(streams.flatMap(namespacesOf))]]);

  const ask = async (type: string, to: string, payload: string): Promise<Element> => {
    client.write(`<iq type='${type}' id='ask' to='${to}'>${payload}</iq>`);
    for (;;) {
      const item = await client.next();
      if (item?.kind !== 'element') throw new Error(`${to} did not answer`);
      if (item.element.name !== 'iq') continue;
      if (item.element.attrs.type !== 'result') throw new Error(`${to} refused: ${item.element}`);
      return item.element;
    }
  };
  const info = async (to: string, node = ''): Promise<Element> =>
    (await ask('get', to, `<query xmlns='${INFO}' node='${node}'/>`)).getChild('query', INFO)!;

  announced.set('server', featuresOf(await info(domain)));
  announced.set('account', featuresOf(await info(`${user}@${domain}`)));
  const items = await ask('get', domain, `<query xmlns='${ITEMS}'/>`);
  for (const { attrs } of items.getChild('query', ITEMS)!.getChildren('item')) {
    const query = await info(attrs.jid!);
    const { category, type } = query.getChild('identity')!.attrs;
    const place = kinds[`${category}/${type}`];
    if (place === undefined) throw new Error(`${attrs.jid} is a service of an unknown kind, ${category}/${type}`);
    announced.set(place, featuresOf(query));
    if (place === 'rooms') {
      client.write(`<presence to='announced@${attrs.jid}/me'><x xmlns='${MUC}'/></presence>`);
      await ask(
        'set',
        `announced@${attrs.jid}`,
        `<query xmlns='${MUC}#owner'><x xmlns='jabber:x:data' type='submit'/></query>`,
      );
      announced.set('room', featuresOf(await info(`announced@${attrs.jid}`)));
    }
    if (place === 'pubsub') {
      await ask('set', attrs.jid!, `<pubsub xmlns='${PUBSUB}'><create node='announced'/></pubsub>`);
      announced.set('node', featuresOf(await info(attrs.jid!, 'announced')));
    }
  }
  await client.destroy();
  return announced;
}

const INFO = 'http://jabber.org/protocol/disco#info';
const ITEMS = 'http://jabber.org/protocol/disco#items';
const MUC = 'http://jabber.org/protocol/muc';
const PUBSUB = 'http://jabber.org/protocol/pubsub';

function featuresOf(query: Element): ReadonlySet<string> {
  return new Set(query.getChildren('feature').map(({ attrs }) => attrs.var!));
}

function namespacesOf(element: Element): string[] {
  const ns = element.attrs.xmlns as string | undefined;
  return [...(ns === undefined ? [] : [ns]), ...element.getChildElements().flatMap(namespacesOf)];
}
