// What nodes keep of one another's sessions for the day that Redis has forgotten them: what is given back, and what is kept how long.
import { beforeEach, expect, test } from 'vitest';
import type { NodeId } from '../../../../src/cluster/cluster.ts';
import { parseState, type StoredState, shardOf } from '../../../../src/cluster/redis/directory-entries.ts';
import { Register } from '../../../../src/cluster/redis/directory-register.ts';
import type { RedisConnection } from '../../../../src/net/redis.ts';
import type { BareJid } from '../../../../src/xmpp/jid.ts';

const self = 'one:A' as NodeId;
const two = 'two:B' as NodeId;
const three = 'three:C' as NodeId;
const romeo = 'romeo@verona.test';

/** Hashes, by key. */
let redis: Map<string, Map<string, string>>;
let now: number;
beforeEach(() => {
  redis = new Map();
  now = 0;
});

const hash = (key: string): Map<string, string> => redis.get(key) ?? redis.set(key, new Map()).get(key)!;

/** Of commands, these. */
async function command(name: string, key: string, field = '', value = ''): Promise<unknown> {
  const fields = hash(key);
  if (name === 'HGET') return fields.get(field) ?? null;
  if (name === 'HGETALL') return [...fields].flat();
  if (name !== 'HSETNX') throw new Error(name);
  if (fields.has(field)) return 0;
  fields.set(field, value);
  return 1;
}

function createRegister(capacity?: number): Register {
  const key = (tag: string, name: string): string => `{${tag}}:${name}`;
  return new Register({
    redis: { command, key } as unknown as RedisConnection,
    clock: { now: () => now, after: () => () => {} },
    self,
    ...(capacity === undefined ? {} : { capacity }),
    nodes: () => [self, two, three],
    lookUp: async (user) => state(2, user, { orchard: `b.${two} [1]` }),
  });
}

/** An account's sessions in the first era or another one: resources and values. */
function state(changes: number, user: string, sessions: Record<string, string> = {}, birth = 1_000): StoredState {
  return parseState([birth, changes, user, ...Object.entries(sessions).flat()].join('\0'))!;
}
const begin = (user: string, birth: number): void =>
  void hash(`{${shardOf(user)}}:version`).set('birth', String(birth));
const indexOf = (user: string, node: NodeId): Map<string, string> => hash(`{${shardOf(user)}}:n:${node}`);
const forever = (): boolean => true;

test('what Redis has lost of a dead node is given back as it was, and by one of all who do', async () => {
  const [register, another] = [createRegister(), createRegister()];
  for (const one of [register, another]) {
    one.hear(state(1, romeo, { orchard: `b.${two} [1,3,{"carbons":true}]`, garden: `c.${three} [1]` }));
    one.hear(state(1, 'nurse@verona.test', { here: `moved.${three} [1,0,{},"${two}"]` }));
  }
  expect(await register.recall(two)).toBe(2);
  expect(await another.recall(two)).toBe(0);
  expect([...indexOf(romeo, two)]).toEqual([[`${romeo}/orchard`, `b.${two} [1,3,{"carbons":true}]`]]);
  expect([...indexOf('nurse@verona.test', two).keys()]).toEqual(['nurse@verona.test/here']);
});

test('what Redis has not lost is not given back', async () => {
  const register = createRegister();
  register.hear(state(1, romeo, { orchard: `b.${two} [1]` }));
  begin(romeo, 1_000);
  expect(await register.recall(two)).toBe(0);
});

test('who puts an account again does not make the sessions forgotten that a dead node had of it', async () => {
  const register = createRegister();
  register.hear(state(5, romeo, { orchard: `b.${two} [1]`, garden: `c.${three} [1]`, street: `d.${two} [1]` }));
  // the node that lives, and another session in the place of one of the dead
  register.hear(state(1, romeo, { garden: `c.${three} [1]`, street: `e.${three} [0]` }, 2_000));
  begin(romeo, 2_000);
  expect(await register.recall(two)).toBe(2);
  expect(await register.recall(three)).toBe(0);
});

test('a session that moved to a node that lives is not given back', async () => {
  const register = createRegister();
  register.hear(state(5, romeo, { orchard: `b.${two} [1]` }));
  register.hear(state(1, romeo, { orchard: `b.${two} [1,0,{},"${three}"]` }, 2_000));
  begin(romeo, 2_000);
  expect(await register.recall(two)).toBe(0);
});

test('what comes late changes nothing, and who has left is forgotten', async () => {
  const register = createRegister();
  register.hear(state(2, romeo, {}));
  register.hear(state(3, romeo, { orchard: `b.${two} [1]` }));
  register.hear(state(4, romeo, {}));
  expect(register.size).toBe(0);
  register.hear(state(6, romeo, { orchard: `b.${two} [1]` }));
  register.hear(state(5, romeo, {}));
  expect(register.size).toBe(1);
});

test('own sessions are not kept, and no more accounts than there is room for', () => {
  const register = createRegister(10);
  register.hear(state(1, romeo, { orchard: `a.${self} [1]` }));
  expect(register.size).toBe(0);
  for (let i = 0; i < 20; i++) register.hear(state(1, `user${i}@verona.test`, { a: `b.${two} [1]` }));
  expect(register.size).toBe(10);
  register.hear(state(2, 'user0@verona.test'));
  register.hear(state(1, romeo, { orchard: `b.${two} [1]` }));
  expect(register.size).toBe(10);
});

test('what a dead node had is forgotten when all is dealt with', async () => {
  const register = createRegister();
  register.hear(state(1, romeo, { orchard: `b.${two} [1]`, garden: `c.${three} [1]` }));
  register.hear(state(1, 'nurse@verona.test', { here: `b.${two} [1]` }));
  register.forget(two);
  expect(register.size).toBe(1);
  expect(await register.recall(two)).toBe(0);
  expect(await register.recall(three)).toBe(1);
});

test('a node that begins finds the sessions that are there', async () => {
  const register = createRegister();
  indexOf(romeo, two).set(`${romeo}/orchard`, `b.${two}`).set('', '1');
  await register.survey([shardOf(romeo)], forever);
  expect(register.size).toBe(1);
  expect(await register.recall(two)).toBe(0);
  indexOf(romeo, two).clear();
  expect(await register.recall(two)).toBe(1);
});

test('what nobody has put again within ten minutes is not given back any more', async () => {
  const register = createRegister();
  register.hear(state(1, romeo, { orchard: `b.${two} [1]` }));
  const other = Array.from({ length: 1_000 }, (_, i) => `user${i}@verona.test` as BareJid).find(
    (user) => shardOf(user) === shardOf(romeo),
  )!;
  register.hear(state(1, other, { a: `c.${three} [1]` }, 2_000));
  begin(romeo, 2_000);
  now = 9 * 60_000;
  register.tidy([shardOf(romeo)]);
  expect(register.size).toBe(2);
  now = 11 * 60_000;
  register.tidy([shardOf(romeo)]);
  expect(register.size).toBe(1);
  expect(await register.recall(two)).toBe(0);
});
