// What a dead node has not handled of its inbox: another node closes the inbox for good, in one step, and deals with what the dead one
// had set aside and with what is in the inbox. A node that dies over it is followed by another one, which goes on behind the last
// entry that was dealt with.
import type { Logger } from '../../base/log.ts';
import { isPromise, type MaybePromise } from '../../base/maybe.ts';
import { defineScript, type RedisConnection } from '../../net/redis.ts';
import type { Frame, NodeId } from '../cluster.ts';
import { type Batch, readBatch, readItems } from './frames.ts';

export interface EstateOptions {
  readonly redis: RedisConnection;
  readonly log: Logger;
  /** Who is dead. */
  readonly node: NodeId;
  /** Whether this node may go on: another one may have been given the estate. */
  readonly sure: () => Promise<boolean>;
  /** Whether a sender lives. */
  readonly isThere: (node: NodeId) => boolean;
  readonly onFrame: (frame: Frame, from: NodeId) => MaybePromise<void>;
}

const PAGE = 32;
/** For so long senders can ask what was taken over, and the dead node finds its inbox closed, in seconds. */
const REMEMBERED = 24 * 3600;

/** Keys: inbox, positions, closing report, what is left. Returns senders and the numbers that were dealt with. */
const closeScript = defineScript(`
if redis.call('EXISTS', KEYS[1]) == 1 then
  redis.call('RENAME', KEYS[1], KEYS[4])
  local handled = redis.call('HGETALL', KEYS[2])
  for i = 1, #handled, 2 do redis.call('HSET', KEYS[3], handled[i], handled[i + 1]) end
end
redis.call('HSET', KEYS[3], 'closed', 1)
redis.call('EXPIRE', KEYS[3], ${REMEMBERED})
return redis.call('HGETALL', KEYS[3])
`);

/** Keys: what is left, closing report. Arguments: the entry that was dealt with, its sender and number (or not). */
const dealtScript = defineScript(`
redis.call('XDEL', KEYS[1], ARGV[1])
if ARGV[2] then redis.call('HSET', KEYS[2], ARGV[2], ARGV[3]) end
return 1
`);

/** Keys: what is left, what was set aside, positions, closing report. */
const finishScript = defineScript(`
redis.call('DEL', KEYS[1], KEYS[2], KEYS[3])
redis.call('HSET', KEYS[4], '', 1)
redis.call('EXPIRE', KEYS[4], ${REMEMBERED})
return 1
`);

/**
 * Deals with what a dead node has not handled; calls and topics are dropped.
 * @throws Error where Redis does not answer, or this node is not to go on
 */
export async function takeOver({ redis, log, node, sure, isThere, onFrame }: EstateOptions): Promise<void> {
  const [inbox, positions, closed, left, aside] = ['inbox', 'handled', 'closed', 'left', 'aside'].map((name) =>
    redis.key(node, name),
  ) as [string, string, string, string, string];
  const report = (await redis.run(closeScript, [inbox, positions, closed, left], [])) as readonly string[];
  const dealtWith = new Map<string, number>();
  for (let i = 0; i + 1 < report.length; i += 2) dealtWith.set(report[i]!, Number(report[i + 1]));
  let frames = 0;
  const onBad = (err: unknown): void =>
    log.error({ err, node }, 'what a dead node had not handled cannot be dealt with');
  const goOn = async (): Promise<void> => {
    if (!(await sure())) throw new Error('this node is not a member any more');
  };
  const dealWith = async (batch: Batch): Promise<void> => {
    const works: Promise<void>[] = [];
    readItems(
      batch.items,
      (content) => {
        if (content.kind !== 'frame') return;
        frames++;
        const work = onFrame(content.frame, batch.from);
        if (isPromise(work)) works.push(work.catch(onBad));
      },
      onBad,
    );
    await Promise.all(works);
  };
  // it came before what is in the inbox
  for (const [name, text] of inOrder((await redis.command('HGETALL', aside)) as readonly string[])) {
    await goOn();
    const batch = read(text, onBad);
    if (batch !== undefined) await dealWith(batch);
    await redis.command('HDEL', aside, name);
  }
  for (;;) {
    const page = (await redis.command('XRANGE', left, '-', '+', 'COUNT', PAGE)) as readonly [
      string,
      readonly string[],
    ][];
    if (page.length === 0) break;
    for (const [id, fields] of page) {
      await goOn();
      const batch = read(fields[1] ?? '', onBad);
      const dealt = (batch && dealtWith.get(batch.from)) ?? 0;
      // what is missing before it Redis has lost: its sender, if there, deals with that and with all that follows, in order
      if (batch !== undefined && (batch.number === dealt + 1 || (batch.number > dealt && !isThere(batch.from)))) {
        await dealWith(batch);
        dealtWith.set(batch.from, batch.number);
        await redis.run(dealtScript, [left, closed], [id, batch.from, batch.number]);
      } else await redis.run(dealtScript, [left, closed], [id]);
    }
  }
  await redis.run(finishScript, [left, aside, positions, closed], []);
  log.info({ node, frames }, 'what a node left when it ended is dealt with');
}

/** Fields that are numbers, with their values. */
function inOrder(lines: readonly string[]): readonly (readonly [string, string])[] {
  const fields = lines.flatMap((name, i) => (i % 2 === 0 ? [[name, lines[i + 1] ?? ''] as const] : []));
  return fields.sort(([a], [b]) => Number(a) - Number(b));
}

function read(text: string, onBad: (err: unknown) => void): Batch | undefined {
  try {
    return readBatch(text);
  } catch (err) {
    onBad(err);
    return undefined;
  }
}
