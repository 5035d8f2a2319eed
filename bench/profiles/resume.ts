// Profile `resume`: sessions are cut without a word and resumed all at once (XEP-0198), as when a network comes back: how long
// that takes, what it costs, what a session that sleeps costs, and whether each message comes exactly once.

import { Client, type Cut, nowMicros } from '../load/client.ts';
import { eachLimited, numberOption, type Profile, type Share, type Steps, sleep, usersOf } from '../load/profile.ts';
import { ReportBuilder } from '../load/report.ts';
import { Tally } from '../load/tally.ts';

const LOGINS_AT_ONCE = 32;
const PATIENCE = 15;
const BODY = /<body>resume (\d+)<\/body>/;

export const resume: Profile = {
  summary: 'sessions are cut and resumed all at once, with messages waiting (--waiting)',
  needsFull: true,
  options: {
    concurrency: { value: 100, help: 'resumptions under way at a time' },
    waiting: { value: 0, help: 'messages sent to each session while it sleeps' },
    unread: { value: 0, help: 'messages that each session got before the cut and did not acknowledge' },
    cut: { value: 'reset', help: 'how connections end: fin, reset, or silent, unnoticed by the server' },
    settle: { value: 5, help: 'seconds of rest before memory is read' },
  },
  defaultUsers: () => 2000,
  work: (share) => new ResumeWorker(share).steps(),

  async conduct({ users, options, crew, probe }) {
    const report = new ReportBuilder();
    const settle = numberOption(options, 'settle');
    const empty = probe.memory();
    const opened = await crew.run('open');
    await sleep(settle);
    const awake = probe.memory();
    const before = await crew.run('unread');
    const cut = await crew.run('cut');
    const sent = await crew.run('waiting');
    await sleep(settle);
    const asleep = probe.memory();
    const stop = probe.start();
    const resumed = await crew.run('resume');
    const spent = stop();
    const after = await crew.run('check');
    await crew.run('close');
    const n = resumed.time('resume').count;
    const wall = resumed.get('last_us') / crew.size / 1e6;
    report
      .add('sessions', 'sessions', opened.get('open'))
      .add('resumed', 'resumed', n)
      .add('resumed_per_s', 'resumed per second', n / wall, '/s')
      .latency(resumed, 'resume', 'time to resumed')
      .latency(resumed, 'connect', 'of which TCP and TLS')
      .latency(resumed, 'authenticate', 'of which SASL')
      .latency(resumed, 'bind', 'of which stream and resume')
      .latency(resumed, 'delivered', 'time to the last message that waited')
      .cpu(spent, n, 'resume');
    const perSession = (bytes: number) => bytes / opened.get('open') / 1024;
    if (empty && awake && asleep) {
      report
        .add(
          'awake_rss_kib',
          'memory per session, connected, RSS',
          perSession(awake.server.rss - empty.server.rss),
          'KiB',
        )
        .add(
          'asleep_rss_kib',
          'memory per session, asleep, RSS',
          perSession(asleep.server.rss - empty.server.rss),
          'KiB',
        );
    }
    report.memory(probe).generator(resumed, crew.size, spent.seconds);
    report.add('messages', 'messages delivered', after.get('delivered'));
    for (const part of [opened, before, cut, sent, resumed, after]) report.failuresOf(part);
    for (const what of ['lost', 'doubled']) if (after.get(what) > 0) report.fail(`${after.get(what)} messages ${what}`);
    if (n < users) report.fail(`only ${n} of ${users} sessions were resumed`);
    return report.done();
  },
};

interface Sleeper {
  readonly client: Client;
  /** How often each message came, by its number. */
  readonly heard: number[];
  sent: number;
  total: number;
}

class ResumeWorker {
  private readonly share: Share;
  private readonly sleepers: Sleeper[] = [];
  /** Sends from a second resource of the worker's first user. */
  private sender!: Client;
  private readonly lanes: number;

  constructor(share: Share) {
    this.share = share;
    this.lanes = Math.max(1, Math.round(numberOption(share.options, 'concurrency') / share.workers));
  }

  steps(): Steps {
    const { options } = this.share;
    return {
      open: () => this.open(),
      unread: () => this.send(numberOption(options, 'unread'), true),
      cut: () => this.cut(options.cut as Cut),
      waiting: () => this.send(numberOption(options, 'waiting'), false),
      resume: () => this.resume(),
      check: () => this.check(),
      close: () => this.close(),
    };
  }

  private async open(): Promise<Tally> {
    const tally = new Tally();
    const { target, workers, worker } = this.share;
    this.sender = new Client(target, worker + 1);
    await this.sender.login({ resource: 'sender', presence: false });
    await eachLimited(usersOf(this.share), Math.ceil(LOGINS_AT_ONCE / workers), async (number) => {
      const client = new Client(target, number);
      const sleeper: Sleeper = { client, heard: [], sent: 0, total: 0 };
      client.onStanza = (xml) => {
        const number = Number(BODY.exec(xml)?.[1] ?? -1);
        if (number < 0) return;
        sleeper.heard[number] = (sleeper.heard[number] ?? 0) + 1;
        sleeper.total++;
      };
      try {
        await client.login({ sm: true });
        client.onLost = (why) => tally.fail(`${client.user}: ${why}`);
        this.sleepers.push(sleeper);
        tally.count('open');
      } catch (error) {
        tally.fail(error);
      }
    });
    return tally;
  }

  private async send(n: number, areAwake: boolean): Promise<Tally> {
    const tally = new Tally();
    for (const sleeper of this.sleepers) {
      sleeper.client.answersRequests = false;
      let xml = '';
      for (let i = 0; i < n; i++) {
        const body = `<body>resume ${sleeper.sent++}</body>`;
        xml += `<message to='${sleeper.client.jid}' type='chat' id='r${sleeper.sent}'>${body}</message>`;
      }
      if (n > 0) this.sender.write(xml);
      // no more on its way than a server's socket takes at once
      if (n > 0 && areAwake) await this.heardBy(sleeper);
      else if (this.sleepers.indexOf(sleeper) % 20 === 19) await this.sender.ping();
    }
    await this.sender.ping();
    return tally;
  }

  private async heardBy(sleeper: Sleeper): Promise<boolean> {
    for (let waited = 0; sleeper.total < sleeper.sent && waited < PATIENCE; waited += 0.005) await sleep(0.005);
    return sleeper.total >= sleeper.sent;
  }

  private async cut(how: Cut): Promise<Tally> {
    for (const { client } of this.sleepers) client.cut(how);
    return new Tally();
  }

  private async resume(): Promise<Tally> {
    const tally = new Tally();
    const start = nowMicros();
    const deliveries: Promise<void>[] = [];
    await eachLimited(this.sleepers, this.lanes, async (sleeper) => {
      const began = nowMicros();
      sleeper.client.answersRequests = true;
      try {
        const times = await sleeper.client.resume();
        tally.time('resume').record(times.total);
        tally.time('connect').record(times.connect);
        tally.time('authenticate').record(times.authenticate);
        tally.time('bind').record(times.bind);
        if (numberOption(this.share.options, 'waiting') === 0) return;
        deliveries.push(
          this.heardBy(sleeper).then((isAll) => {
            if (isAll) tally.time('delivered').record(nowMicros() - began);
          }),
        );
      } catch (error) {
        tally.fail(error);
      }
    });
    tally.count('last_us', nowMicros() - start);
    await Promise.all(deliveries);
    return tally;
  }

  /** After a ping through each session, so that what would come twice has come. */
  private async check(): Promise<Tally> {
    const tally = new Tally();
    await eachLimited(this.sleepers, LOGINS_AT_ONCE, async ({ client, heard, sent }) => {
      if (client.isConnected) await client.ping().catch((error) => tally.fail(error));
      for (let number = 0; number < sent; number++) {
        const times = heard[number] ?? 0;
        if (times === 0) tally.count('lost');
        else tally.count('delivered');
        if (times > 1) tally.count('doubled', times - 1);
      }
    });
    return tally;
  }

  private async close(): Promise<Tally> {
    await eachLimited([this.sender, ...this.sleepers.map(({ client }) => client)], LOGINS_AT_ONCE, (client) =>
      client.close(),
    );
    return new Tally();
  }
}
