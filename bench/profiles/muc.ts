// Profile `muc`: rooms full of occupants who talk to each other (XEP-0045): many of them, and a big one. What does a message cost
// for each occupant that gets it, what does it cost to fill a room and to come into a full one, and what memory do they take?

import { Course } from '../load/course.ts';
import { Crowd, type Layout } from '../load/crowd.ts';
import { numberOption, type OptionValues, type Profile, sleep } from '../load/profile.ts';

export const muc: Profile = {
  summary:
    'occupants of rooms talk, as fast as --window allows and at --rate; filling a room, coming into a full one, memory',
  options: {
    rooms: { value: 10, help: 'rooms to talk in at once; 0: none' },
    occupants: { value: 100, help: 'occupants of each of them' },
    big: { value: 1000, help: 'occupants of the big room; 0: none' },
    solo: { value: 1000, help: 'rooms with one occupant, which say what a room takes in memory; 0: none' },
    window: { value: 10, help: 'messages on their way in each room at full load' },
    rate: { value: 4000, help: 'messages delivered per second, of all rooms, at a set rate' },
    padding: { value: 0, help: 'bytes to make each message larger by' },
    seconds: { value: 6, help: 'how long to measure either' },
    warmup: { value: 2, help: 'seconds of full load before measuring' },
    settle: { value: 5, help: 'seconds of rest before memory is looked at' },
    'joins-at-once': { value: 8, help: 'joins on their way while rooms fill' },
    visits: { value: 20, help: 'how often one more user comes into the full big room' },
    stall: { value: false, help: 'measure the big room once more after one occupant has stopped reading' },
    backlog: { value: 8, help: 'MiB that are sent to it besides, to fill what lies between' },
    quiet: { value: false, help: 'presence of moderators alone is told in rooms: for very large ones' },
    patience: { value: 15, help: 'seconds without anything after which what is missing counts as lost' },
    'rooms-domain': { value: '', help: 'the domain of the rooms; by itself groups.DOMAIN' },
  },
  defaultUsers: (options) => 1 + Math.max(...(['solo', 'rooms', 'big'] as const).map((kind) => usersIn(kind, options))),
  work: (share) => new Crowd(share).steps(),

  async conduct(bench) {
    const { options, crew, probe } = bench;
    const day = new Day(bench);
    await day.run('log in');
    if (usersIn('solo', options) > 0) await day.solo();
    for (const layout of ['rooms', 'big'] as const) if (usersIn(layout, options) > 0) await day.full(layout);
    await crew.run('cut');
    return day.report.memory(probe).done();
  },
};

function usersIn(layout: Layout, options: OptionValues): number {
  if (layout === 'rooms') return numberOption(options, 'rooms') * numberOption(options, 'occupants');
  return numberOption(options, layout);
}

class Day extends Course {
  /** Rooms with nobody but the one who made them. */
  async solo(): Promise<void> {
    const { report, bench } = this;
    const rooms = usersIn('solo', bench.options);
    // once to warm up: what the first rooms load and grow belongs to the server
    await this.run('make solo');
    await this.run('leave');
    const empty = await this.memory();
    const stop = bench.probe.start();
    await this.run('make solo');
    const spent = stop();
    report.add('solo_made_per_s', 'rooms made per second', rooms / spent.seconds, '/s');
    report.cost('solo', 'making rooms', spent, rooms, 'room');
    report.add('kib_per_room', 'memory per room with one occupant, PSS', kib(empty, await this.memory(), rooms), 'KiB');
    await this.run('leave');
  }

  /** Rooms that are filled, spoken in and left. */
  async full(layout: 'rooms' | 'big'): Promise<void> {
    const { report, bench } = this;
    const { options, probe } = bench;
    const users = usersIn(layout, options);
    const name = layout === 'big' ? `one of ${users}` : `${options.rooms} of ${options.occupants}`;
    const empty = await this.memory();
    await this.run(`make ${layout}`);
    const stop = probe.start();
    const filled = await this.run(`fill ${layout}`);
    const spent = stop();
    const presences = filled.get('presences');
    report
      .add(`${layout}_fill_seconds`, `${name}, filling: seconds`, spent.seconds, 's')
      .add(`${layout}_fill_per_s`, `${name}, filling: presences per second`, presences / spent.seconds, '/s');
    report.cost(`${layout}_fill`, `${name}, filling`, spent, presences, 'presence');
    report.latency(filled, 'join', `${name}, filling: join`, `${layout}_fill_join`);
    const memory = kib(empty, await this.memory(), users);
    report.add(`${layout}_kib_per_occupant`, `${name}: memory per occupant, PSS`, memory, 'KiB');
    if (layout === 'big' && numberOption(options, 'visits') > 0) await this.visits(`${name}, full`);
    await this.warmUp();
    await this.spoken('window', layout, `${name}, full load`);
    await this.spoken('pace', `${layout}_rate`, `${name}, set rate`);
    if (layout === 'big' && options.stall === true) {
      await this.run('stall');
      await this.spoken('window', `${layout}_stall`, `${name}, full load, one reads nothing`);
      await this.spoken('pace', `${layout}_stall_rate`, `${name}, set rate, one reads nothing`);
    }
    await this.run('leave');
  }

  private async visits(label: string): Promise<void> {
    const stop = this.bench.probe.start();
    const tally = await this.run('visit');
    const spent = stop();
    this.report
      .latency(tally, 'join', `${label}: join`, 'visit_join')
      .cost('visit', `${label}, join and leave`, spent, tally.get('presences'), 'presence');
  }

  private async spoken(step: 'window' | 'pace', key: string, label: string): Promise<void> {
    const { report } = this;
    const { tally, rest } = await this.loaded(step, key, label);
    for (const what of ['lost', 'misordered', 'seen in another order']) {
      const n = tally.get(what) + rest.get(what);
      if (n > 0) report.fail(`${label}: ${n} messages ${what}`);
    }
    if (tally.get('unsent') > 0) report.fail(`${label}: ${tally.get('unsent')} messages were not sent in time`);
  }

  /** In bytes, after some rest. */
  private async memory(): Promise<number | undefined> {
    await sleep(numberOption(this.bench.options, 'settle'));
    return this.bench.probe.memory()?.server.pss;
  }
}

function kib(before: number | undefined, after: number | undefined, n: number): number | undefined {
  return before === undefined || after === undefined ? undefined : (after - before) / n / 1024;
}
