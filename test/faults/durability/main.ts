// npm run test:faults: the promise that what the server has acknowledged is on disk, tried by killing the server and its database at
// full load. docs/testing.md says what the lines mean.
import { parseArgs } from 'node:util';
import { type RoundName, roundNames, Trial } from './rounds.ts';
import { type SubjectName, startSubject, subjectNames } from './subject.ts';
import { describeRound, problemsOf, seeded, Total } from './verdict.ts';

const { values } = parseArgs({
  options: {
    servers: { type: 'string', default: 'embedded,postgres' },
    kinds: { type: 'string', default: roundNames.join(',') },
    rounds: { type: 'string', default: '10' },
    seconds: { type: 'string', default: '2' },
    outage: { type: 'string', default: '10' },
    senders: { type: 'string', default: '8' },
    recipients: { type: 'string', default: '24' },
    seed: { type: 'string', default: String(Date.now() % 1_000_000) },
    help: { type: 'boolean', default: false },
  },
});

const HELP = `npm run test:faults -- [options]

  --servers LIST     ${subjectNames.join(', ')} (embedded,postgres): Parley on its embedded database, Parley on a PostgreSQL of this
                     machine's packages, and peers on the same
  --kinds LIST       ${roundNames.join(', ')} (all): what breaks
  --rounds N         rounds of each server, each of the next kind (10)
  --seconds S        how long the load lasts at most before something is killed, and how long connections are cut (2)
  --outage S         how long the database stands still or is shut down (10; 60 for the full minute)
  --senders N        clients that send (8)
  --recipients N     those they send to: a third online, a third hibernating, a third offline (24)
  --seed N           makes the moments repeatable, as far as processes can be`;

const names = <T extends string>(text: string, all: readonly T[]): T[] =>
  text.split(',').map((name) => {
    const found = all.find((candidate) => candidate === name);
    if (found === undefined) throw new Error(`${name}: one of ${all.join(', ')}`);
    return found;
  });

async function main(): Promise<number> {
  if (values.help) {
    console.log(HELP);
    return 0;
  }
  const kinds = names<RoundName>(values.kinds, roundNames);
  const crowd = { senders: Number(values.senders), recipients: Number(values.recipients) };
  console.log(`seed ${values.seed}`);
  let isGood = true;
  for (const server of names<SubjectName>(values.servers, subjectNames)) {
    const subject = await startSubject(server, crowd.senders + crowd.recipients);
    const total = new Total();
    try {
      const trial = new Trial(subject, crowd, seeded(Number(values.seed)));
      for (let i = 0; i < Number(values.rounds); i++) {
        const kind = kinds[i % kinds.length]!;
        const isOutage = kind === 'frozen' || kind === 'down';
        const round = await trial.run(kind, Number(isOutage ? values.outage : values.seconds));
        total.add(round);
        console.log(`${subject.name}, round ${i + 1}, ${kind}: ${describeRound(round)}`);
        for (const problem of problemsOf(round)) console.log(`    ${problem}`);
      }
      const wrong = await trial.recount();
      for (const problem of wrong) console.log(`    ${problem}`);
      isGood &&= total.isGood && wrong.length === 0;
      console.log(`${subject.name}: ${total}`);
    } catch (error) {
      console.error(subject.output());
      throw error;
    } finally {
      await subject.dispose();
    }
  }
  return isGood ? 0 : 1;
}

main().then(
  (code) => process.exit(code),
  (error: unknown) => {
    console.error(error);
    process.exit(2);
  },
);
