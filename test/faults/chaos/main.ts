// npm run test:chaos: three nodes, Redis and Postgres; people chat while all of that is killed, frozen, cut off and restarted. Afterwards
// nothing that was acknowledged may be lost or doubled, and all have to agree. docs/testing.md says what the lines mean.
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { type Outcome, run } from './run.ts';
import { type Kind, kinds } from './troubles.ts';

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '10' },
    clients: { type: 'string', default: '300' },
    nodes: { type: 'string', default: '3' },
    seed: { type: 'string', default: String(Date.now() % 1_000_000) },
    kinds: { type: 'string', default: kinds.join(',') },
    longest: { type: 'string', default: '60' },
    interval: { type: 'string', default: '8' },
    pace: { type: 'string', default: '4' },
    help: { type: 'boolean', default: false },
  },
});

const HELP = `npm run test:chaos -- [options]

  --minutes N     how long things break (10)
  --clients N     how many people use the service (300)
  --nodes N       how many nodes there are (3)
  --seed N        repeats what breaks, when, where and for how long
  --kinds LIST    ${kinds.join(', ')} (all)
  --longest S     the longest that something stands still or is cut off (60)
  --interval S    how long it takes on average until something else breaks (8)
  --pace S        how long it takes on average until one person says something (4)`;

function kindsOf(text: string): Kind[] {
  return text.split(',').map((name) => {
    const found = kinds.find((kind) => kind === name);
    if (found === undefined) throw new Error(`${name}: one of ${kinds.join(', ')}`);
    return found;
  });
}

function describe({ account, rooms, roomGhosts, ...outcome }: Outcome): string {
  const { fortunes, counts, disagreements, delays, healed, settled } = outcome;
  const seconds = (ms: number): string => `${(ms / 1000).toFixed(1)} s`;
  const rows: [string, string | number][] = [
    ['broken', [...counts].map(([kind, n]) => `${kind} ${n}`).join(', ')],
    ['connections cut', fortunes.cuts],
    ['sessions resumed', fortunes.resumed],
    ['sessions begun', fortunes.begun],
    ['whole again after', seconds(healed)],
    ['everybody served after', seconds(settled)],
    ['directories agreed after', seconds(delays.directory)],
    ['presence agreed after', seconds(delays.presence)],
    ['goodbyes known after', seconds(delays.goodbye)],
    ['longest without service', seconds(fortunes.longestGap)],
    ['longest until acknowledged', seconds(fortunes.longestWait)],
    ['messages sent', account.sent],
    ['acknowledged', account.acknowledged],
    ['received', account.received],
    ['refused', account.refused],
    ['again under the same id', account.again],
    ['again on one session', account.twice],
    ['late, on the next session', account.late],
    ['waited for the next login', account.waited],
    ['only its sender knows', account.half],
    ['sent twice by the client', account.repeated],
    ['LOST', account.lost],
    ['not in both archives', account.unkept],
    ['not seen when caught up', account.unseen],
    ['DOUBLED', account.doubled],
    ['shown again', account.reshown],
    ['refused, and came', account.undead],
    ['out of order', account.misordered],
    ['never answered', account.unanswered],
    ['said by nobody', account.invented],
    ['ghosts', disagreements.ghosts],
    ['missing sessions', disagreements.missing],
    ['wrong presence', disagreements.presence],
    ['wrong roster entries', disagreements.rosters],
    ['said in rooms', rooms.sent],
    ['acknowledged there', rooms.acknowledged],
    ['shown to occupants', rooms.heard],
    ['refused there', rooms.refused],
    ['unknown, and done', rooms.unknown],
    ['heard, and not kept', rooms.unarchived],
    ['again in a room', rooms.twice],
    ['forgotten by a room', rooms.forgotten],
    ['LOST by a room', rooms.lost],
    ['DOUBLED by a room', rooms.doubled],
    ['two have had the room', rooms.divided],
    ['not shown inside', rooms.missed],
    ['shown again inside', rooms.reshown],
    ['refused there, and came', rooms.undead],
    ['out of order there', rooms.misordered],
    ['never answered there', rooms.unanswered],
    ['said there by nobody', rooms.invented],
    ['out without leaving', rooms.expelled],
    ['wrong lists of rooms', roomGhosts],
  ];
  return rows.map(([name, value]) => `  ${name.padEnd(26)} ${value}`).join('\n');
}

async function main(): Promise<number> {
  if (values.help) {
    console.log(HELP);
    return 0;
  }
  const seed = Number(values.seed);
  const logs = join(tmpdir(), `parley-chaos-${seed}`);
  console.log(`seed ${seed}`);
  const outcome = await run({
    nodes: Number(values.nodes),
    clients: Number(values.clients),
    minutes: Number(values.minutes),
    seed,
    pace: Number(values.pace) * 1000,
    plan: {
      kinds: kindsOf(values.kinds),
      longest: Number(values.longest) * 1000,
      interval: Number(values.interval) * 1000,
    },
    logs,
    tell: (line) => console.log(line),
  });
  console.log(describe(outcome));
  const { setbacks } = outcome.fortunes;
  const frequent = [...setbacks].sort(([, a], [, b]) => b - a).slice(0, 8);
  if (frequent.length > 0) console.log('what clients met:');
  for (const [what, n] of frequent) console.log(`  ${String(n).padStart(5)} ${what}`);
  for (const problem of outcome.problems) console.log(`PROBLEM ${problem}`);
  if (outcome.problems.length > 0) console.log(`what nodes said is in ${logs}`);
  return outcome.problems.length === 0 ? 0 : 1;
}

main().then(
  (code) => process.exit(code),
  (error: unknown) => {
    console.error(error);
    process.exit(2);
  },
);
