// How a client logs in (RFC 6120 4 to 7): header, STARTTLS, SASL PLAIN or SCRAM, resource binding.
import { createHash, createHmac, pbkdf2Sync, randomBytes } from 'node:crypto';
import type { Element } from 'ltx';
import { type Address, StreamClient } from './client.ts';

export type MechanismName = 'PLAIN' | 'SCRAM-SHA-1' | 'SCRAM-SHA-256' | 'SCRAM-SHA-512';

export interface Credentials {
  readonly user: string;
  readonly password: string;
  readonly mechanism?: MechanismName;
}

export interface LoginOptions extends Credentials {
  readonly domain: string;
  readonly resource?: string;
  readonly tls?: 'none' | 'starttls' | 'direct';
}

const SASL = 'urn:ietf:params:xml:ns:xmpp-sasl';

/** Connects, authenticates and binds. The full JID is what the server says it is. */
export async function logIn(
  address: Address,
  options: LoginOptions,
): Promise<{ readonly client: StreamClient; readonly jid: string }> {
  const client = await StreamClient.connect(address, { tls: options.tls === 'direct' });
  try {
    await openStream(client, options.domain);
    if (options.tls === 'starttls') {
      await startTls(client, options.domain);
      await openStream(client, options.domain);
    }
    await authenticate(client, options);
    await openStream(client, options.domain);
    return { client, jid: await bind(client, options.resource) };
  } catch (error) {
    await client.destroy();
    throw error;
  }
}

/** Opens a stream, and returns the features. */
export async function openStream(client: StreamClient, domain: string, attrs = ''): Promise<Element> {
  client.open(domain, attrs);
  const header = await client.next();
  if (header?.kind !== 'header') throw new Error('no stream header came');
  return expectElement(client, 'stream:features');
}

export async function startTls(client: StreamClient, domain: string): Promise<void> {
  client.write("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>");
  await expectElement(client, 'proceed');
  await client.startTls(domain);
}

/** SASL up to success. The stream is to be opened anew then. @throws Error with what the server answered instead */
export async function authenticate(client: StreamClient, credentials: Credentials): Promise<void> {
  const { user, password, mechanism = 'PLAIN' } = credentials;
  if (mechanism === 'PLAIN') {
    client.write(auth(mechanism, `\0${user}\0${password}`));
    await expectElement(client, 'success');
    return;
  }
  const scram = new ScramClient(mechanism, user, password);
  client.write(auth(mechanism, scram.first()));
  const challenge = await expectElement(client, 'challenge');
  client.write(`<response xmlns='${SASL}'>${base64(scram.final(decode(challenge)))}</response>`);
  const success = await expectElement(client, 'success');
  scram.verify(decode(success));
}

/** Binds a resource (of the server's choice when none is given); returns the full JID. */
export async function bind(client: StreamClient, resource?: string): Promise<string> {
  const wish = resource === undefined ? '' : `<resource>${resource}</resource>`;
  client.write(`<iq type='set' id='bind'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>${wish}</bind></iq>`);
  const result = await expectElement(client, 'iq');
  const jid = result.getChild('bind')?.getChildText('jid');
  if (!jid) throw new Error(`binding failed: ${result}`);
  return jid;
}

async function expectElement(client: StreamClient, name: string): Promise<Element> {
  const item = await client.next();
  if (item?.kind !== 'element') {
    throw new Error(`expected <${name}/>, but the ${item === undefined ? 'server said nothing' : 'stream ended'}`);
  }
  if (item.element.name !== name) throw new Error(`expected <${name}/>, got ${item.element}`);
  return item.element;
}

const base64 = (text: string): string => Buffer.from(text).toString('base64');
const decode = (element: Element): string => Buffer.from(element.getText(), 'base64').toString();
const auth = (mechanism: string, text: string): string =>
  `<auth xmlns='${SASL}' mechanism='${mechanism}'>${base64(text)}</auth>`;

const hashes = {
  'SCRAM-SHA-1': { name: 'sha1', size: 20 },
  'SCRAM-SHA-256': { name: 'sha256', size: 32 },
  'SCRAM-SHA-512': { name: 'sha512', size: 64 },
} as const;

/** RFC 5802 on the client's side, without channel binding. */
export class ScramClient {
  private readonly hash: (typeof hashes)[keyof typeof hashes];
  private readonly password: string;
  private readonly bare: string;
  private readonly nonce = randomBytes(15).toString('base64');
  private signature = '';

  constructor(mechanism: keyof typeof hashes, user: string, password: string) {
    this.hash = hashes[mechanism];
    this.password = password;
    this.bare = `n=${user.replace(/=/g, '=3D').replace(/,/g, '=2C')},r=${this.nonce}`;
  }

  first(): string {
    return `n,,${this.bare}`;
  }

  /** The answer to the server's first message. */
  final(serverFirst: string): string {
    const [, nonce = '', salt = '', iterations = ''] = /^r=([^,]+),s=([^,]+),i=(\d+)/.exec(serverFirst) ?? [];
    if (!nonce.startsWith(this.nonce)) throw new Error('the server changed the nonce');
    const { name, size } = this.hash;
    const hmac = (key: Buffer, text: string): Buffer => createHmac(name, key).update(text).digest();
    const salted = pbkdf2Sync(this.password, Buffer.from(salt, 'base64'), Number(iterations), size, name);
    const clientKey = hmac(salted, 'Client Key');
    const withoutProof = `c=biws,r=${nonce}`;
    const signed = `${this.bare},${serverFirst},${withoutProof}`;
    const signature = hmac(createHash(name).update(clientKey).digest(), signed);
    const proof = clientKey.map((byte, i) => byte ^ signature[i]!);
    this.signature = hmac(hmac(salted, 'Server Key'), signed).toString('base64');
    return `${withoutProof},p=${Buffer.from(proof).toString('base64')}`;
  }

  /** @throws Error when the server does not know the password either */
  verify(serverFinal: string): void {
    if (serverFinal !== `v=${this.signature}`) throw new Error('the server could not prove that it knows the password');
  }
}
