// Profile `mam`: an archive is filled by a conversation that goes through the server, then several clients page through it (XEP-0313):
// the last page, as at a login, and all of it forwards and backwards. What the pages hold is checked, too: each message once, in order.

import { ArchiveReader, type Page } from '../load/archive.ts';
import { Client, nowMicros } from '../load/client.ts';
import { eachLimited, numberOption, type Profile, type Share, type Steps, sleep } from '../load/profile.ts';
import { ReportBuilder } from '../load/report.ts';
import { Tally } from '../load/tally.ts';

/** Pairs of users of which the first with an empty archive is taken: servers that are measured in rounds keep their data. */
const PAIRS = 40;
const PATIENCE = 60;
const TEXT = 'Shall we meet at the usual place at eight? I have the tickets with me, and Anna comes along, too.';
/** Its number, and which of the two sent it. */
const NUMBER = /<body>mam (\d+) ([01]) /;

const WAYS = ['last', 'forward', 'backward'] as const;
type Way = (typeof WAYS)[number];

export const mam: Profile = {
  summary: 'clients page through an archive of --messages messages, which is filled first',
  needsFull: true,
  options: {
    messages: {
      value: 100_000,
      help: 'messages of the conversation; 0: page through the archive of the first user as it is',
    },
    window: { value: 50, help: 'messages on their way in each direction while filling' },
    readers: { value: 4, help: 'clients that page at once' },
    pages: { value: '50,100', help: 'sizes of pages to measure' },
    ways: { value: WAYS.join(','), help: 'what is measured' },
    seconds: { value: 5, help: 'how long each way of paging is measured' },
    whole: { value: false, help: 'first read the whole archive forwards once, and check it' },
    with: { value: false, help: 'ask for the conversation with the other user, not for everything' },
  },
  defaultUsers: () => 2 * PAIRS,
  work: (share) => new MamWorker(share).steps(),

  async conduct({ options, crew, probe }) {
    const report = new ReportBuilder();
    const messages = numberOption(options, 'messages');
    const failures = (tally: Tally) => {
      report.failuresOf(tally);
      for (const what of ['missing', 'misordered', 'doubled']) {
        if (tally.get(what) > 0) report.fail(`${tally.get(what)} messages ${what}`);
      }
      return tally;
    };
    failures(await crew.run('open'));
    if (messages > 0) {
      const stop = probe.start();
      const filled = failures(await crew.run('fill'));
      const spent = stop();
      const n = filled.get('sent');
      report.add('fill_per_s', 'filling: messages per second', n / spent.seconds, '/s');
      if (spent.server !== undefined) {
        report.add('fill_cpu_us', 'filling: server CPU per message', (1e6 * spent.server) / n, 'us');
        report.add(
          'fill_database_cpu_us',
          'filling: database CPU per message',
          (1e6 * (spent.database ?? 0)) / n,
          'us',
        );
      }
    }
    failures(await crew.run('log in'));
    if (options.whole === true) {
      const whole = failures(await crew.run('whole'));
      report.add('whole_messages', 'read from beginning to end: messages', whole.get('messages'));
    }
    for (const size of String(options.pages).split(',')) {
      for (const way of String(options.ways).split(',')) {
        const stop = probe.start();
        const tally = failures(await crew.run(`${way} ${size}`, numberOption(options, 'seconds')));
        const spent = stop();
        const [pages, read] = [tally.time('page').count, tally.get('messages')];
        const key = `${way}_${size}`;
        const label = `${way}, ${size} a page:`;
        report
          .add(`${key}_pages_per_s`, `${label} pages per second`, pages / spent.seconds, '/s')
          .add(`${key}_messages_per_s`, `${label} messages per second`, read / spent.seconds, '/s');
        for (const percent of [50, 95, 99]) {
          const value = tally.time('page').quantile(percent / 100) / 1000;
          report.add(`${key}_p${percent}_ms`, `${label} p${percent}`, value, 'ms');
        }
        if (spent.server === undefined || pages === 0) continue;
        report
          .add(`${key}_cpu_us_per_page`, `${label} server CPU per page`, (1e6 * spent.server) / pages, 'us')
          .add(`${key}_cpu_ms_per_1000`, `${label} server CPU per 1000 messages`, (1e6 * spent.server) / read, 'ms');
        if (spent.database === undefined) continue;
        const database = 1e6 * spent.database;
        report
          .add(`${key}_database_cpu_us_per_page`, `${label} database CPU per page`, database / pages, 'us')
          .add(`${key}_database_cpu_ms_per_1000`, `${label} database CPU per 1000 messages`, database / read, 'ms');
      }
    }
    await crew.run('close');
    return report.memory(probe).done();
  },
};

class MamWorker {
  private readonly share: Share;
  /** Each worker has a conversation of its own, lest they wait for one another. */
  private pair = 0;
  private readonly messages: number;
  private readonly readers: ArchiveReader[] = [];

  constructor(share: Share) {
    this.share = share;
    this.messages = Math.floor(numberOption(share.options, 'messages') / share.workers);
  }

  steps(): Steps {
    const { options } = this.share;
    const steps: Record<string, (seconds: number) => Promise<Tally>> = {
      open: () => this.open(),
      fill: () => this.fill(),
      'log in': () => this.logIn(),
      whole: () => this.whole(),
      close: () => this.close(),
    };
    for (const size of String(options.pages).split(',').map(Number)) {
      for (const way of String(options.ways).split(',') as Way[]) {
        steps[`${way} ${size}`] = (seconds) => this.measure(way, size, seconds);
      }
    }
    return steps;
  }

  /** Looks for a pair whose archive is empty. */
  private async open(): Promise<Tally> {
    const tally = new Tally();
    const { share } = this;
    if (this.messages === 0) return tally;
    for (let pair = share.worker; 2 * pair + 1 < share.users; pair += share.workers) {
      const client = new Client(share.target, 2 * pair + 1);
      await client.login({ sm: true });
      const { results } = await read(client).ask(1, '<before/>');
      await client.close();
      this.pair = pair;
      if (results.length === 0) return tally;
    }
    tally.fail(`no archive of ${share.users} users is empty`);
    return tally;
  }

  private async fill(): Promise<Tally> {
    const tally = new Tally();
    const { target, options } = this.share;
    const window = numberOption(options, 'window');
    const sides = [new Client(target, 2 * this.pair + 1), new Client(target, 2 * this.pair + 2)] as const;
    for (const side of sides) await side.login({ sm: true });
    let sent = 0;
    let heard = 0;
    const { messages } = this;
    await new Promise<void>((resolve) => {
      const say = (from: Client, to: Client, n: number) => {
        let xml = '';
        const count = Math.min(n, messages - sent);
        for (let i = 0; i < count; i++) {
          xml += `<message to='${to.bareJid}' type='chat' id='m${sent}'><body>mam ${sent++} ${from === sides[0] ? 0 : 1} ${TEXT}</body></message>`;
        }
        if (count > 0) from.send(xml, count, true);
      };
      for (const [from, to] of [sides, [sides[1], sides[0]] as const]) {
        to.onStanza = (xml) => {
          if (!xml.includes('<body>mam ')) return;
          heard++;
          say(from, to, 1);
          if (heard === messages) resolve();
        };
        from.onLost = (why) => {
          tally.fail(`${from.user}: ${why}`);
          resolve();
        };
        say(from, to, window);
      }
    });
    // what was delivered is to be in the archive as well: that is what the acknowledgements are for
    for (const side of sides) {
      for (let waited = 0; side.sm!.acked < side.sm!.sent && waited < PATIENCE; waited += 0.05) {
        if (Math.round(waited * 20) % 20 === 0) side.send('', 0, true);
        await sleep(0.05);
      }
      if (side.sm!.acked < side.sm!.sent) tally.fail(`${side.user}: messages were not acknowledged`);
    }
    tally.count('sent', sent);
    await Promise.all(sides.map((side) => side.close()));
    return tally;
  }

  private async logIn(): Promise<Tally> {
    const { target, options, workers } = this.share;
    const count = Math.max(1, Math.round(numberOption(options, 'readers') / workers));
    await eachLimited(
      Array.from({ length: count }, (_, i) => i),
      4,
      async (i) => {
        const client = new Client(target, 2 * this.pair + 1 + (i % 2));
        const peer = `${target.userPrefix}${2 * this.pair + 2 - (i % 2)}@${target.domain}`;
        await client.login({ sm: true, presence: false, resource: `reader${i}` });
        this.readers.push(read(client, options.with === true ? peer : undefined));
      },
    );
    return new Tally();
  }

  /** One reader, once, all of it. */
  private async whole(): Promise<Tally> {
    const tally = new Tally();
    const [reader] = this.readers;
    const times = new Uint8Array(this.messages);
    for (let after = ''; ; ) {
      const page = await reader!.ask(100, after === '' ? '' : `<after>${after}</after>`);
      for (const number of numbersOf(page)) times[number]!++;
      tally.count('messages', page.results.length);
      if (page.isComplete || page.last === '') break;
      after = page.last;
    }
    for (const n of times) {
      if (n === 0) tally.count('missing');
      else if (n > 1) tally.count('doubled', n - 1);
    }
    return tally;
  }

  private async measure(way: Way, size: number, seconds: number): Promise<Tally> {
    const tally = new Tally();
    const end = nowMicros() + seconds * 1e6;
    await Promise.all(this.readers.map((reader) => turnPages(reader, way, size, end, tally)));
    return tally;
  }

  private async close(): Promise<Tally> {
    await Promise.all(this.readers.map(({ client }) => client.close()));
    return new Tally();
  }
}

function read(client: Client, peer?: string): ArchiveReader {
  const reader = new ArchiveReader(client, { peer });
  client.onStanza = (xml) => reader.take(xml);
  return reader;
}

/** The numbers of the messages on a page; of others, which an archive that was not filled here has, none. */
function numbersOf(page: Page, side?: number): number[] {
  const numbers: number[] = [];
  for (const xml of page.results) {
    const found = NUMBER.exec(xml);
    if (found !== null && (side === undefined || Number(found[2]) === side)) numbers.push(Number(found[1]));
  }
  return numbers;
}

async function turnPages(reader: ArchiveReader, way: Way, size: number, end: number, tally: Tally): Promise<void> {
  let mark = '';
  // of each side the numbers grow; those of both cross on their way
  const start = way === 'backward' ? Number.POSITIVE_INFINITY : -1;
  let edges = [start, start];
  while (nowMicros() < end) {
    const asked = nowMicros();
    const where =
      way === 'last' || (way === 'backward' && mark === '')
        ? '<before/>'
        : mark === ''
          ? ''
          : way === 'forward'
            ? `<after>${mark}</after>`
            : `<before>${mark}</before>`;
    let page: Page;
    try {
      page = await reader.ask(size, where);
    } catch (error) {
      tally.fail(error);
      return;
    }
    tally.time('page').record(nowMicros() - asked);
    const numbers = numbersOf(page);
    tally.count('messages', page.results.length);
    if (new Set(numbers).size < numbers.length) tally.count('doubled', numbers.length - new Set(numbers).size);
    for (const side of [0, 1]) {
      const own = numbersOf(page, side);
      const isAscending = own.every((number, i) => i === 0 || number > own[i - 1]!);
      const [low, high] = [own[0], own.at(-1)];
      if (low === undefined || high === undefined) continue;
      const follows = way === 'last' || (way === 'forward' ? low > edges[side]! : high < edges[side]!);
      if (!isAscending || !follows) tally.count('misordered');
      edges[side] = way === 'forward' ? high : low;
    }
    const isOver = page.isComplete || page.results.length === 0;
    mark = isOver ? '' : way === 'backward' ? page.first : page.last;
    if (isOver) edges = [start, start];
    if (isOver && page.results.length === 0 && way === 'last') {
      tally.fail('the last page is empty');
      return;
    }
  }
}
