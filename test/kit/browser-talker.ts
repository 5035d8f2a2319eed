// Somebody in a browser behind a proxy that knows no WebSockets: BOSH with stream management inside (XEP-0198), whose requests come to any
// node. Talks to itself, and takes its session up again whenever it has to.
import type { Element } from 'ltx';
import { BoshClient, type BoshLogin } from './bosh-client.ts';
import type { Address } from './client.ts';

const SM = 'urn:xmpp:sm:3';
/** How long a request waits for something to say, in seconds. */
const WAIT = 5;

export class BrowserTalker {
  readonly said: string[] = [];
  readonly heard: string[] = [];
  resumed = 0;
  private readonly address: Address;
  private readonly login: BoshLogin;
  private client: BoshClient;
  private id = '';
  /** What it has sent and nobody has acknowledged, and how much had been acknowledged before. */
  private pending: string[] = [];
  private acknowledged = 0;
  private handled = 0;

  private constructor(address: Address, login: BoshLogin, client: BoshClient) {
    this.address = address;
    this.login = login;
    this.client = client;
  }

  static async start(address: Address, login: BoshLogin): Promise<BrowserTalker> {
    const client = await BoshClient.logIn(address, login, { wait: WAIT });
    const talker = new BrowserTalker(address, login, client);
    const enabled = (await client.ask(`<enable xmlns='${SM}' resume='true'/>`)).getChild('enabled', SM);
    talker.id = enabled?.attrs.id ?? '';
    await talker.send("<presence xmlns='jabber:client'/>");
    return talker;
  }

  /** Until it is over, and all was heard. @throws Error where its session is lost */
  async talk(isOver: () => boolean): Promise<void> {
    const { user, domain } = this.login;
    while (!isOver() || this.heard.length < this.said.length) {
      if (isOver()) await this.send();
      else {
        const text = `${user} ${this.said.length}`;
        this.said.push(text);
        await this.send(
          `<message xmlns='jabber:client' to='${user}@${domain}' type='chat' id='${text}'><body>${text}</body></message>`,
        );
      }
      await new Promise((done) => setTimeout(done, 50));
    }
  }

  async leave(): Promise<void> {
    await this.client.ask('', { type: 'terminate' });
  }

  private async send(stanza?: string): Promise<void> {
    if (stanza !== undefined) this.pending.push(stanza);
    try {
      this.read(await this.client.ask(stanza === undefined ? '' : `${stanza}<r xmlns='${SM}'/>`));
    } catch {
      await this.comeBack();
    }
  }

  private read(body: Element): void {
    if (body.attrs.type === 'terminate') throw new Error(`ended with ${body.attrs.condition}`);
    for (const child of body.getChildElements()) {
      if (child.is('a', SM)) this.settle(Number(child.attrs.h));
      if (!['message', 'presence', 'iq'].includes(child.name)) continue;
      this.handled++;
      const text = child.getChildText('body');
      if (text !== null && text !== undefined) this.heard.push(text);
    }
  }

  private settle(h: number): void {
    this.pending.splice(0, h - this.acknowledged);
    this.acknowledged = h;
  }

  private async comeBack(): Promise<void> {
    for (let attempt = 0; ; attempt++) {
      try {
        const client = new BoshClient(this.address);
        await client.create({ to: this.login.domain, wait: WAIT });
        await client.signIn(this.login);
        const body = await client.ask(`<resume xmlns='${SM}' previd='${this.id}' h='${this.handled}'/>`);
        const resumed = body.getChild('resumed', SM);
        if (resumed === undefined) throw new Error(`not resumed: ${body}`);
        this.client = client;
        this.resumed++;
        this.settle(Number(resumed.attrs.h));
        this.read(body);
        if (this.pending.length > 0) this.read(await client.ask(`${this.pending.join('')}<r xmlns='${SM}'/>`));
        return;
      } catch (error) {
        if (attempt === 20) throw error;
        await new Promise((done) => setTimeout(done, 200));
      }
    }
  }
}
