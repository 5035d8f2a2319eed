// Nodes of accounts between Parley and servers that others wrote: who wants to hear of something hears of it, in both directions, and nobody else.
import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { el } from '../../src/xml/element.ts';
import { capsVer } from '../../src/xmpp/caps.ts';
import { NS } from '../../src/xmpp/ns.ts';
import { TestAuthority } from '../kit/certificates.ts';
import type { StreamClient } from '../kit/client.ts';
import { enter, federating } from '../kit/federation.ts';
import { Ejabberd, freePort, NameServerProgram, type PeerServer, Prosody } from '../kit/peers.ts';
import { told } from '../kit/server-peer.ts';
import { mergeSettings, TestServer } from '../kit/test-server.ts';

/** How long something may take that makes a connection first, in milliseconds; and how long nothing may come to be none. */
const PATIENCE = 15_000;
const SILENCE = 1500;
const TUNE = 'http://jabber.org/protocol/tune';
const MOOD = 'http://jabber.org/protocol/mood';
const DATA = 'urn:xmpp:avatar:data';
const METADATA = 'urn:xmpp:avatar:metadata';
const OMEMO = 'eu.siacs.conversations.axolotl';
const DEVICES = `${OMEMO}.devicelist`;
const PICTURE = 'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==';
const PICTURE_ID = createHash('sha1').update(Buffer.from(PICTURE, 'base64')).digest('hex');

/** A client that tells what it wants to hear of, and answers who asks. */
class Listener {
  readonly client: StreamClient;
  readonly jid: string;
  private readonly answers = new Map<string, string>();

  constructor({ client, jid }: { readonly client: StreamClient; readonly jid: string }) {
    this.client = client;
    this.jid = jid;
  }

  get bare(): string {
    return this.jid.split('/')[0]!;
  }

  come(...wanted: readonly string[]): void {
    const names = [NS.discoInfo, NS.caps, ...wanted.map((node) => `${node}+notify`)];
    const features = names.map((name) => el('feature', NS.discoInfo, { var: name }));
    const identity = el('identity', NS.discoInfo, { category: 'client', type: 'pc', name: 'kit' });
    const query = el('query', NS.discoInfo, undefined, identity, ...features);
    const ver = capsVer(query)!;
    this.answers.set(`urn:kit#${ver}`, query.with({ node: `urn:kit#${ver}` }).toXml());
    this.client.write(`<presence><c xmlns='${NS.caps}' hash='sha-1' node='urn:kit' ver='${ver}'/></presence>`);
  }

  publish(node: string, text: string): void {
    this.put(node, 'current', `<x xmlns='${node}'>${text}</x>`);
  }

  /** @param access who may read, where the node is to be made for it */
  put(node: string, id: string, payload: string, access?: string): void {
    const field = (name: string, value: string): string => `<field var='${name}'><value>${value}</value></field>`;
    const form = field('FORM_TYPE', NS.pubsubPublishOptions) + field('pubsub#access_model', access ?? '');
    const options =
      access === undefined
        ? ''
        : `<publish-options><x xmlns='jabber:x:data' type='submit'>${form}</x></publish-options>`;
    this.client.write(
      `<iq type='set' id='p'><pubsub xmlns='${NS.pubsub}'><publish node='${node}'><item id='${id}'>${payload}</item></publish>${options}</pubsub></iq>`,
    );
  }

  /** Asks for the items of a node. @returns the answer, as text */
  async read(of: string, node: string): Promise<string> {
    this.client.write(
      `<iq type='get' id='read' to='${of}'><pubsub xmlns='${NS.pubsub}'><items node='${node}'/></pubsub></iq>`,
    );
    return (await this.hear(/id="read"/)).at(-1)!;
  }

  /** What comes until it is what is waited for, or nothing comes for so long. */
  async hear(wanted: RegExp | undefined, patience = wanted === undefined ? SILENCE : PATIENCE): Promise<string[]> {
    const heard: string[] = [];
    for (;;) {
      const item = await this.client.next(patience);
      if (item?.kind !== 'element') {
        if (wanted === undefined) return heard;
        throw new Error(`${wanted} did not come, but this:\n${heard.join('\n')}`);
      }
      const text = told(item);
      const { id, from, type } = item.element.attrs;
      const query = item.element.getChild('query', NS.discoInfo);
      if (type === 'get' && query !== undefined) {
        const answer = this.answers.get(String(query.attrs.node)) ?? [...this.answers.values()].at(-1)!;
        this.client.write(`<iq type='result' id='${id}' to='${from}'>${answer}</iq>`);
        continue;
      }
      heard.push(text);
      if (wanted?.test(text)) return heard;
    }
  }
}

const kinds = [
  ['Prosody', Prosody],
  ['ejabberd', Ejabberd],
] as const;

describe.each(kinds)('with %s', (name, Kind) => {
  const remote = `${name.toLowerCase()}.example`;
  const folder = mkdtempSync(join(tmpdir(), 'parley nodes '));
  let names: NameServerProgram | undefined;
  let peer: PeerServer | undefined;
  let server: TestServer | undefined;
  let romeo: Listener;
  let juliet: Listener;

  beforeAll(async () => {
    const authority = new TestAuthority('Everybody trusts me');
    const [ours, theirs] = [await freePort(), await freePort()];
    names = await NameServerProgram.start([
      { domain: 'parley.example', port: ours },
      { domain: remote, port: theirs },
    ]);
    peer = new Kind({
      domain: remote,
      certificate: authority.issue({ names: [remote, `*.${remote}`] }),
      ca: authority.certificate,
      dnsPort: names.port,
      s2sPort: theirs,
      hasNodes: true,
    });
    const { certificate, key } = authority.issue({ names: ['parley.example'] });
    writeFileSync(join(folder, 'ca.pem'), authority.certificate);
    writeFileSync(join(folder, 'parley.example.pem'), `${certificate}\n${key}`);
    server = await TestServer.start(
      mergeSettings(federating('parley.example'), {
        tls: { certificates: folder, ca: join(folder, 'ca.pem') },
        dns: { servers: [`127.0.0.1:${names.port}`] },
        listen: { s2s: ours },
      }),
    );
    await peer.start();
    romeo = new Listener(await enter(server, 'romeo@parley.example'));
    juliet = new Listener(await peer.enter('juliet', 'balcony'));
    romeo.come(TUNE);
    juliet.come(TUNE);
    romeo.client.write(`<presence type='subscribe' to='${juliet.bare}'/>`);
    await juliet.hear(/type="subscribe"/);
    juliet.client.write(
      `<presence type='subscribed' to='${romeo.bare}'/><presence type='subscribe' to='${romeo.bare}'/>`,
    );
    await romeo.hear(/type="subscribe"/);
    romeo.client.write(`<presence type='subscribed' to='${juliet.bare}'/>`);
    // (each is asked by the other's server)
    await Promise.all([romeo.hear(undefined), juliet.hear(undefined)]);
  }, 90_000);
  afterAll(async () => {
    await romeo?.client.destroy();
    await juliet?.client.destroy();
    await server?.stop();
    await peer?.[Symbol.asyncDispose]();
    await names?.[Symbol.asyncDispose]();
    rmSync(folder, { recursive: true, force: true });
  });

  test('what somebody publishes here is heard there', async () => {
    romeo.publish(TUNE, 'from here');
    const [event] = (await juliet.hear(/from here/)).slice(-1);
    expect(event).toMatch(/^<message (?=.*from="romeo@parley\.example")(?=.*type="headline")/);
    await romeo.hear(/from here/);
  }, 40_000);

  test('what somebody publishes there is heard here', async () => {
    juliet.publish(TUNE, 'from there');
    await romeo.hear(/<message .*from there/);
    await juliet.hear(undefined);
  }, 40_000);

  test('nobody hears of what is not asked for', async () => {
    romeo.publish(MOOD, 'a mood of ours');
    juliet.publish(MOOD, 'a mood of theirs');
    const [here, there] = await Promise.all([romeo.hear(undefined), juliet.hear(undefined)]);
    expect(here.filter((text) => text.startsWith('<message'))).toEqual([]);
    // (ejabberd tells the own account in any case)
    expect(there.filter((text) => text.includes('of ours'))).toEqual([]);
  }, 40_000);

  test('who comes to want something is sent what was last', async () => {
    juliet.come(TUNE, MOOD);
    await juliet.hear(/a mood of ours/);
    romeo.come(TUNE, MOOD);
    await romeo.hear(/a mood of theirs/);
  }, 40_000);

  test('who comes online there is sent what was last here', async () => {
    juliet.client.write("<presence type='unavailable'/>");
    await juliet.hear(undefined);
    juliet.come(TUNE);
    expect((await juliet.hear(/from here/)).at(-1)).toContain('urn:xmpp:delay');
  }, 40_000);

  test('items are read in both directions', async () => {
    expect(await juliet.read(romeo.bare, TUNE)).toContain('from here');
    expect(await romeo.read(juliet.bare, TUNE)).toContain('from there');
  }, 40_000);

  test('pictures are told of, and fetched, in both directions', async () => {
    romeo.come(TUNE, METADATA);
    juliet.come(TUNE, METADATA);
    await Promise.all([romeo.hear(undefined), juliet.hear(undefined)]);
    for (const [owner, contact] of [
      [romeo, juliet],
      [juliet, romeo],
    ] as const) {
      owner.put(DATA, PICTURE_ID, `<data xmlns='${DATA}'>${PICTURE}</data>`);
      await owner.hear(/id="p"/);
      const info = `<info id='${PICTURE_ID}' bytes='70' type='image/png'/>`;
      owner.put(METADATA, PICTURE_ID, `<metadata xmlns='${METADATA}'>${info}</metadata>`);
      const heard = (await contact.hear(new RegExp(`^<message (?=[^>]*from="${owner.bare}").*<metadata`))).at(-1);
      expect(heard).toContain(PICTURE_ID);
      expect(await contact.read(owner.bare, DATA)).toContain(PICTURE);
    }
  }, 60_000);

  test('lists of devices are heard by contacts, and read by everybody', async () => {
    romeo.come(TUNE, DEVICES);
    juliet.come(TUNE, DEVICES);
    const stranger = new Listener(await enter(server!, 'mercutio@parley.example'));
    await Promise.all([romeo.hear(undefined), juliet.hear(undefined)]);
    romeo.put(DEVICES, 'current', `<list xmlns='${OMEMO}'><device id='11'/></list>`, 'open');
    expect((await juliet.hear(/<message .*<list/)).at(-1)).toContain('id="11"');
    juliet.put(DEVICES, 'current', `<list xmlns='${OMEMO}'><device id='22'/></list>`, 'open');
    expect((await romeo.hear(/<message .*from="juliet@.*<list/)).at(-1)).toContain('id="22"');
    expect(await stranger.read(juliet.bare, DEVICES)).toContain('id="22"');
    expect(await stranger.read(romeo.bare, DEVICES)).toContain('id="11"');
    await stranger.client.destroy();
  }, 60_000);

  test('who is denied presence hears no more, and reads nothing', async () => {
    romeo.client.write(`<presence type='unsubscribed' to='${juliet.bare}'/>`);
    await juliet.hear(/^<presence (?=[^>]*from="romeo@parley.example)[^>]*type="un(subscribed|available)"/);
    romeo.publish(TUNE, 'in secret');
    expect((await juliet.hear(undefined)).join()).not.toContain('in secret');
    expect(await juliet.read(romeo.bare, TUNE)).toContain('presence-subscription-required');
  }, 40_000);
});
