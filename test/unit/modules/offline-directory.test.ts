// Messages kept for people who are away, while the directory of the cluster does not answer: none is lost.
import { expect, test } from 'vitest';
import type { Directory } from '../../../src/cluster/cluster.ts';
import { StorageUnavailable } from '../../../src/storage/errors.ts';
import { messagesAt, pairForEach } from '../../kit/pair-for-each.ts';

const domain = 'verona.test';
// (a directory for each node)
const pair = pairForEach({ isLate: true });
const { enter, settle } = pair;

/** Puts something before the first node's lookups of Romeo. */
function wrap(lookUp: (sessions: Directory['sessions'], isFresh: boolean) => Directory['sessions']): () => void {
  const { directory } = pair;
  const sessions = directory.sessions.bind(directory);
  directory.sessions = (user, isFresh = false) =>
    (user.startsWith('romeo@') ? lookUp(sessions, isFresh) : sessions)(user, isFresh);
  return () => {
    directory.sessions = sessions;
  };
}
const silence: Directory['sessions'] = () => Promise.reject(new StorageUnavailable('the directory does not answer'));

test('who comes online at a node that cannot ask is given the messages all the same', async () => {
  const juliet = await enter(0, 'juliet', 'balcony');
  juliet.write(`<message type='chat' id='a' to='romeo@${domain}'><body>Ay me</body></message>`);
  await settle();
  wrap((sessions, isFresh) => (isFresh ? silence : sessions));
  const romeo = await enter(0, 'romeo', 'orchard');
  romeo.write('<presence/>');
  await settle();
  expect(messagesAt(romeo)).toBe(1);
});

test('where it cannot be told whether somebody at another node is there still, the messages wait on', async () => {
  const juliet = await enter(0, 'juliet', 'balcony');
  const romeo = await enter(1, 'romeo', 'orchard');
  romeo.write('<presence/>');
  await settle();
  let fresh = 0;
  // he is not known to be there when the message comes, but when it is written down; and then nobody answers
  const answer = wrap((sessions, isFresh) => {
    if (!isFresh) return () => [];
    fresh++;
    return fresh === 1 ? sessions : silence;
  });
  juliet.write(`<message type='chat' id='a' to='romeo@${domain}'><body>Ay me</body></message>`);
  await settle();
  expect(fresh).toBeGreaterThan(1);
  expect(messagesAt(romeo)).toBe(0);
  answer();
  romeo.write("<presence type='unavailable'/>");
  romeo.write('<presence/>');
  await settle();
  expect(messagesAt(romeo)).toBe(1);
});

test('what was kept because its reader could not be seen is delivered when it can be told again who is there', async () => {
  const juliet = await enter(0, 'juliet', 'balcony');
  const romeo = await enter(1, 'romeo', 'orchard');
  romeo.write('<presence/>');
  await settle();
  const answer = wrap((_, isFresh) => (isFresh ? silence : () => []));
  for (const id of ['a', 'b']) {
    juliet.write(`<message type='chat' id='${id}' to='romeo@${domain}'><body>Ay me</body></message>`);
  }
  await settle();
  await pair.group.clock.advance(1_500);
  await settle();
  expect(messagesAt(romeo)).toBe(0);
  answer();
  await pair.group.clock.advance(1_500);
  await settle();
  expect(messagesAt(romeo)).toBe(2);
});
