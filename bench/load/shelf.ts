// One node with many items (XEP-0060): a user publishes them and pages through them (XEP-0059). The work of the worker that has that user.

import { attribute, type Client, nowMicros } from './client.ts';
import { TEXT } from './mark.ts';
import { within } from './pace.ts';
import { eachLimited, numberOption, type Share, type Steps } from './profile.ts';
import { Tally } from './tally.ts';

const PUBSUB = 'http://jabber.org/protocol/pubsub';
const NODE = 'urn:bench:shelf';

export class Shelf {
  private readonly share: Share;
  private readonly user: Client | undefined;
  private readonly answers = new Map<string, (xml: string) => void>();
  private asked = 0;
  private published = 0;
  private readonly found = new Set<string>();
  /** The last item of the page before; undefined at the beginning. */
  private last: string | undefined;

  constructor(share: Share, user: Client | undefined) {
    this.share = share;
    this.user = user;
  }

  steps(): Steps {
    return { 'make shelf': () => this.make(), fill: () => this.fill(), turn: () => this.turn() };
  }

  /** Gets whatever comes to the user. */
  take(xml: string): void {
    if (!xml.startsWith('<iq')) return;
    const id = attribute(xml.slice(0, xml.indexOf('>') + 1), 'id') ?? '';
    const answer = this.answers.get(id);
    this.answers.delete(id);
    answer?.(xml);
  }

  /** A node for the user alone, without items, that keeps as many as may be. */
  private async make(): Promise<Tally> {
    const tally = new Tally();
    const { user } = this;
    if (user === undefined) return tally;
    await this.ask(user, 'set', `<pubsub xmlns='${PUBSUB}#owner'><delete node='${NODE}'/></pubsub>`);
    const fields = {
      persist_items: '1',
      max_items: 'max',
      access_model: 'whitelist',
      send_last_published_item: 'never',
    };
    const form = Object.entries(fields).map(
      ([name, value]) => `<field var='pubsub#${name}'><value>${value}</value></field>`,
    );
    const made = await this.ask(
      user,
      'set',
      `<pubsub xmlns='${PUBSUB}'><create node='${NODE}'/><configure><x xmlns='jabber:x:data' type='submit'>` +
        `<field var='FORM_TYPE' type='hidden'><value>${PUBSUB}#node_config</value></field>${form.join('')}</x></configure></pubsub>`,
    );
    if (!isResult(made)) tally.fail(`no node: ${made.slice(0, 400)}`);
    return tally;
  }

  /** The next `--block` items. */
  private async fill(): Promise<Tally> {
    const tally = new Tally();
    const { user } = this;
    const { options } = this.share;
    if (user === undefined) return tally;
    const numbers = Array.from({ length: numberOption(options, 'block') }, () => ++this.published);
    await eachLimited(numbers, numberOption(options, 'at-once'), async (number) => {
      const start = nowMicros();
      const answer = await this.ask(
        user,
        'set',
        `<pubsub xmlns='${PUBSUB}'><publish node='${NODE}'><item id='item${number}'>` +
          `<note xmlns='urn:bench:note' number='${number}'>${TEXT}</note></item></publish></pubsub>`,
      );
      tally.time('publish').record(nowMicros() - start);
      if (isResult(answer)) tally.count('items');
      else tally.fail(`not published: ${answer.slice(0, 400)}`);
    });
    return tally;
  }

  /** The next third of all pages. */
  private async turn(): Promise<Tally> {
    const tally = new Tally();
    const { user } = this;
    const { options } = this.share;
    if (user === undefined) return tally;
    const pages = Math.ceil(this.published / numberOption(options, 'page') / 3);
    for (let i = 0; i < pages; i++) {
      const after = this.last === undefined ? '' : `<after>${this.last}</after>`;
      const start = nowMicros();
      const page = await this.ask(
        user,
        'get',
        `<pubsub xmlns='${PUBSUB}'><items node='${NODE}'/>` +
          `<set xmlns='http://jabber.org/protocol/rsm'><max>${options.page}</max>${after}</set></pubsub>`,
      );
      if (!isResult(page)) {
        tally.fail(`no page: ${page.slice(0, 400)}`);
        return tally;
      }
      const last = /<last[^>]*>([^<]*)<\/last>/.exec(page)?.[1];
      const ids = [...page.matchAll(/<item [^>]*>/g)].map(([item]) => attribute(item, 'id') ?? '');
      // a server that knows no pages sends what it likes
      if (last === undefined && (ids.length > 0 || i === 0)) {
        tally.count('unpaged');
        return tally;
      }
      if (ids.length === 0) break;
      tally.time('page').record(nowMicros() - start);
      tally.count('pages');
      for (const id of ids) {
        if (this.found.has(id)) tally.count('found again');
        else tally.count('found');
        this.found.add(id);
      }
      this.last = last;
    }
    return tally;
  }

  private async ask(user: Client, type: 'get' | 'set', payload: string): Promise<string> {
    const id = `shelf${++this.asked}`;
    const answer = new Promise<string>((resolve) => this.answers.set(id, resolve));
    user.send(`<iq type='${type}' id='${id}'>${payload}</iq>`);
    return within(4 * numberOption(this.share.options, 'patience'), answer, 'no answer of a node');
  }
}

function isResult(xml: string): boolean {
  return /^<iq[^>]*type=["']result/.test(xml);
}
