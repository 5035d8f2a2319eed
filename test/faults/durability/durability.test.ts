// What the server has acknowledged is on disk: a short version of `npm run test:faults`, on the embedded database.
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type RoundName, Trial } from './rounds.ts';
import { type Subject, startSubject } from './subject.ts';
import { problemsOf, seeded } from './verdict.ts';

const crowd = { senders: 3, recipients: 6 };
let subject: Subject;
let trial: Trial;

beforeAll(async () => {
  subject = await startSubject('embedded', crowd.senders + crowd.recipients);
  trial = new Trial(subject, crowd, seeded(1));
});
afterAll(() => subject?.dispose());

test.each<[string, RoundName, number]>([
  ['the server is killed', 'server', 0.5],
  ['its database is killed', 'database', 0.5],
  ['connections are cut and sessions resumed', 'cuts', 1],
  ['its database stands still', 'frozen', 2],
])(
  'when %s at full load, nothing that was acknowledged is lost, doubled or out of order',
  { timeout: 60_000 },
  async (_what, kind, seconds) => {
    const round = await trial.run(kind, seconds);
    expect(problemsOf(round), subject.output()).toEqual([]);
    expect(round.verdict).toMatchObject({ lost: 0, unkept: 0, doubled: 0, misordered: 0, undelivered: 0 });
    expect(round.verdict.acknowledged).toBeGreaterThan(0);
  },
);

test('in the end every archive holds what it was seen to hold', async () => {
  expect(await trial.recount()).toEqual([]);
});
