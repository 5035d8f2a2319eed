// Profile `pep`: a user with many contacts publishes what they all want to hear of (XEP-0163), and keeps many items at one node. What does an
// item cost for each contact that gets it, and is an item, or a page of items, dearer where there are many?

import { Course } from '../load/course.ts';
import { numberOption, type Profile } from '../load/profile.ts';
import { Publisher, stagesOf } from '../load/publisher.ts';

/** How often an item is published until all contacts have heard one: servers ask their clients what they want. */
const ATTEMPTS = 10;
const PARTS = ['first', 'middle', 'last'] as const;

export const pep: Profile = {
  summary:
    'a node with many items and its pages; a user publishes what many contacts hear of, by --window and at --rate',
  options: {
    contacts: { value: '100,300,1000', help: 'contacts who are there and want to hear: so many, one after the other' },
    kinds: { value: 8, help: 'programs that their clients are, each with capabilities of its own' },
    window: { value: 2, help: 'items on their way at full load' },
    rate: { value: 4000, help: 'notifications delivered per second, at a set rate' },
    seconds: { value: 6, help: 'how long to measure either' },
    warmup: { value: 2, help: 'seconds of full load before measuring' },
    patience: { value: 15, help: 'seconds without anything after which what is missing counts as lost' },
    items: { value: 10_000, help: 'items to publish at one node; 0: none' },
    block: { value: 1000, help: 'so many of them are measured at a time' },
    'at-once': { value: 8, help: 'items of them on their way' },
    limit: { value: 120, help: 'seconds after which no further block is begun: some servers take ever longer' },
    page: { value: 50, help: 'items in a page' },
  },
  hasFriends: true,
  defaultUsers: (options) => 1 + stagesOf(options).at(-1)!,
  work: (share) => new Publisher(share).steps(),

  async conduct(bench) {
    const { options, crew, probe } = bench;
    const evening = new Evening(bench);
    await evening.run('log in');
    await evening.befriend();
    // first, so that all servers are warm
    if (numberOption(options, 'items') > 0) {
      await evening.fill();
      await evening.turn();
    }
    for (const contacts of stagesOf(options)) await evening.hear(contacts);
    await crew.run('cut');
    return evening.report.memory(probe).done();
  },
};

class Evening extends Course {
  /** All are contacts of the one who publishes: as the server was started, or by themselves. */
  async befriend(): Promise<void> {
    if ((await this.run('ask roster')).get('strangers') === 0) return;
    for (const step of ['show', 'befriend', 'hide']) await this.run(step);
  }

  /** So many contacts are there and hear of what is published. */
  async hear(contacts: number): Promise<void> {
    await this.run('announce');
    await this.introduce();
    await this.run('listen');
    await this.warmUp();
    const name = `${contacts} contacts`;
    await this.published('window', `window_${contacts}`, `${name}, full load`, contacts);
    await this.published('pace', `rate_${contacts}`, `${name}, set rate`, contacts);
  }

  /** Until the server knows what all contacts want to hear. */
  private async introduce(): Promise<void> {
    let deaf = 0;
    for (let i = 0; i < ATTEMPTS; i++) {
      deaf = (await this.run('attempt')).get('deaf');
      if (deaf === 0) return;
    }
    this.report.fail(`${deaf} contacts hear nothing`);
  }

  private async published(step: 'window' | 'pace', key: string, label: string, contacts: number): Promise<void> {
    const { report } = this;
    const { tally, rest, spent } = await this.loaded(step, key, label);
    const items = tally.get('items');
    report
      .add(`${key}_items_per_s`, `${label}: items per second`, items / spent.seconds, '/s')
      .cost(key, label, spent, items, 'item');
    const lost = items * contacts - rest.get('delivered');
    if (lost !== 0) report.fail(`${label}: ${lost} notifications lost`);
    for (const what of ['misordered', 'unanswered', 'unsent']) {
      const n = tally.get(what) + rest.get(what);
      if (n > 0) report.fail(`${label}: ${n} items ${what}`);
    }
  }

  /** Items of one node, some at a time. */
  async fill(): Promise<void> {
    const { report, bench } = this;
    const { options, probe } = bench;
    await this.run('make shelf');
    const blocks = Math.ceil(numberOption(options, 'items') / numberOption(options, 'block'));
    const until = performance.now() + 1000 * numberOption(options, 'limit');
    const done = [];
    while (done.length < blocks && performance.now() < until) {
      const stop = probe.start();
      const tally = await this.run('fill');
      done.push({ tally, spent: stop() });
      if (tally.get('failures') > 0) break;
    }
    const kept = done.reduce((sum, { tally }) => sum + tally.get('items'), 0);
    report.add('kept', 'items published at one node', kept);
    for (const part of PARTS) {
      const block = done[part === 'first' ? 0 : part === 'last' ? done.length - 1 : done.length >> 1];
      if (block === undefined) return;
      const { tally, spent } = block;
      report
        .add(
          `fill_${part}_ms_per_item`,
          `${part} items: time per item`,
          (1e3 * spent.seconds) / tally.get('items'),
          'ms',
        )
        .cost(`fill_${part}`, `${part} items`, spent, tally.get('items'), 'item')
        .latency(tally, 'publish', `${part} items: latency`, `fill_${part}_latency`);
    }
  }

  /** All pages of that node, a third at a time. */
  async turn(): Promise<void> {
    const { report, bench } = this;
    let found = 0;
    for (const part of PARTS) {
      const stop = bench.probe.start();
      const tally = await this.run('turn');
      const spent = stop();
      // not every server knows pages of items
      if (tally.get('unpaged') > 0) return;
      const pages = tally.get('pages');
      found += tally.get('found');
      if (tally.get('found again') > 0) report.fail(`${tally.get('found again')} items were on two pages`);
      report
        .add(`turn_${part}_ms_per_page`, `${part} pages: time per page`, (1e3 * spent.seconds) / pages, 'ms')
        .cost(`turn_${part}`, `${part} pages`, spent, pages, 'page')
        .latency(tally, 'page', `${part} pages: latency`, `turn_${part}_latency`);
    }
    report.add('found', 'items found on pages', found);
  }
}
