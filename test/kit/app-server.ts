// An app server to try push notifications with (XEP-0357 3): a component that takes what is published, tells what it was, and can refuse or
// be silent. For tests, and for people:
//
//   npx tsx test/kit/app-server.ts --domain push.example.org --secret SECRET [--address 127.0.0.1] [--port 5347] [--answer ok]
//
// `--answer`: `ok`, `silence`, or a stanza error's condition.
import { createDecipheriv } from 'node:crypto';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import type { Element } from 'ltx';
import type { Address, StreamClient } from './client.ts';
import { connectComponent } from './component.ts';

/** A notification, as app servers read it. */
export interface Published {
  readonly from: string;
  readonly node: string | undefined;
  /** The summary's fields. */
  readonly summary: Readonly<Record<string, string>>;
  /** The publish-options, without their FORM_TYPE. */
  readonly options: Readonly<Record<string, string>>;
  readonly priority: string | undefined;
  /** What only the client can read. */
  readonly encrypted: { readonly iv: string; readonly data: string; readonly type: string | undefined } | undefined;
}

const NAMESPACES = ['http://jabber.org/protocol/disco#info', 'http://jabber.org/protocol/pubsub', 'urn:xmpp:push:0'];

export class AppServer {
  readonly published: Published[] = [];
  /** `ok`, `silence`, or the condition of a stanza error, perhaps with its type behind a blank. */
  answer = 'ok';
  /** Told of each notification. */
  onPublished: (published: Published) => void = () => {};
  readonly domain: string;
  private readonly client: StreamClient;

  private constructor(domain: string, client: StreamClient) {
    this.domain = domain;
    this.client = client;
    client.watcher = { received: (item) => void (item.kind === 'element' && this.take(item.element)) };
  }

  /** @throws Error where the server does not take the component */
  static async connect(address: Address, domain: string, secret: string): Promise<AppServer> {
    return new AppServer(domain, await connectComponent(address, domain, secret));
  }

  get isConnected(): boolean {
    return !this.client.isClosed;
  }

  /** XEP-0357 8: says that it takes nothing more for a node. */
  withdraw(account: string, node: string): void {
    this.client.write(
      `<message from='${this.domain}' to='${account}'><pubsub xmlns='${NAMESPACES[1]}' node='${node}'>` +
        `<affiliation jid='${account}' affiliation='none'/></pubsub></message>`,
    );
  }

  close(): Promise<void> {
    return this.client.destroy();
  }

  private take(stanza: Element): void {
    const { from = '', id = '', type } = stanza.attrs as Record<string, string | undefined>;
    if (!stanza.is('iq') || (type !== 'get' && type !== 'set')) return;
    const publish = stanza.getChild('pubsub', NAMESPACES[1])?.getChild('publish');
    if (publish !== undefined && type === 'set') {
      const published = read(stanza, from);
      this.published.push(published);
      this.onPublished(published);
      if (this.answer === 'silence') return;
      this.reply(id, from, this.answer === 'ok' ? '' : errorOf(this.answer));
    } else if (stanza.getChild('query', NAMESPACES[0]) !== undefined) {
      const features = NAMESPACES.map((name) => `<feature var='${name}'/>`).join('');
      const identity = "<identity category='pubsub' type='push'/>";
      this.reply(id, from, `<query xmlns='${NAMESPACES[0]}'>${identity}${features}</query>`);
    } else this.reply(id, from, errorOf('service-unavailable'));
  }

  private reply(id: string, to: string, content: string): void {
    const type = content.startsWith('<error') ? 'error' : 'result';
    this.client.write(
      `<iq type='${type}' id='${escaped(id)}' from='${this.domain}' to='${escaped(to)}'>${content}</iq>`,
    );
  }
}

/** What a client reads of an encrypted notification with its key. @throws Error where that is not the key */
export function unseal({ iv, data }: NonNullable<Published['encrypted']>, key: Buffer): unknown {
  const bytes = Buffer.from(data, 'base64');
  const decipher = createDecipheriv('aes-128-gcm', key, Buffer.from(iv, 'base64'));
  decipher.setAuthTag(bytes.subarray(-16));
  return JSON.parse(Buffer.concat([decipher.update(bytes.subarray(0, -16)), decipher.final()]).toString('utf8'));
}

function read(stanza: Element, from: string): Published {
  const pubsub = stanza.getChild('pubsub');
  const publish = pubsub?.getChild('publish');
  const notification = publish?.getChild('item')?.getChild('notification', NAMESPACES[2]);
  const encrypted = notification?.getChild('encrypted', 'tigase:push:encrypt:0');
  const { FORM_TYPE: _, ...summary } = fieldsOf(notification?.getChild('x', 'jabber:x:data'));
  const { FORM_TYPE: __, ...options } = fieldsOf(pubsub?.getChild('publish-options')?.getChild('x', 'jabber:x:data'));
  return {
    from,
    node: publish?.attrs.node as string | undefined,
    summary,
    options,
    priority: notification?.getChildText('priority', 'tigase:push:priority:0') ?? undefined,
    encrypted: encrypted && {
      iv: String(encrypted.attrs.iv),
      data: encrypted.getText(),
      type: encrypted.attrs.type as string | undefined,
    },
  };
}

function fieldsOf(form: Element | undefined): Record<string, string> {
  const fields = form?.getChildren('field') ?? [];
  return Object.fromEntries(fields.map((field) => [String(field.attrs.var), field.getChildText('value') ?? '']));
}

function errorOf(answer: string): string {
  const [condition, type = 'cancel'] = answer.split(' ');
  return `<error type='${type}'><${condition} xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>`;
}

function escaped(text: string): string {
  return text.replace(/[&<'"]/g, (character) => `&#${character.charCodeAt(0)};`);
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      domain: { type: 'string' },
      secret: { type: 'string' },
      address: { type: 'string', default: '127.0.0.1' },
      port: { type: 'string', default: '5347' },
      answer: { type: 'string', default: 'ok' },
    },
  });
  const { domain, secret, address, port, answer } = values;
  if (domain === undefined || secret === undefined) throw new Error('--domain and --secret are needed');
  const server = await AppServer.connect({ address, port: Number(port) }, domain, secret);
  server.answer = answer;
  process.stdout.write(`${domain} is connected\n`);
  server.onPublished = (published) => void process.stdout.write(`${JSON.stringify(published)}\n`);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  main().catch((error: Error) => {
    process.stderr.write(`${error.message}\n`);
    process.exitCode = 1;
  });
}
