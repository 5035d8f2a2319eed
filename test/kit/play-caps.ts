// What scenes say of capabilities: which nodes a client wants to hear of (XEP-0163 4.2, XEP-0115).
import { type Element, el } from '../../src/xml/element.ts';
import { capsVer } from '../../src/xmpp/caps.ts';
import { NS } from '../../src/xmpp/ns.ts';
import type { Speaker, Stage } from './stage.ts';

const NODE = 'urn:example:kit';
/** Servers ask one after another: each needs a round. */
const ROUNDS = 4;

/** A connection becomes available, or is already, and announces that it wants these nodes' events; whoever asks it is answered. */
export async function want(stage: Stage, [name, list]: readonly string[]): Promise<void> {
  const speaker = stage.speaker(name!);
  const nodes = list === 'nothing' ? [] : list!.split(/,\s*/);
  const features = [NS.discoInfo, ...nodes.map((node) => `${node}+notify`)];
  const identity = el('identity', NS.discoInfo, { category: 'client', type: 'pc' });
  const answer = el(
    'query',
    NS.discoInfo,
    undefined,
    identity,
    ...features.map((feature) => el('feature', NS.discoInfo, { var: feature })),
  );
  const ver = capsVer(answer)!;
  speaker.client.write(el('presence', null, undefined, el('c', NS.caps, { hash: 'sha-1', node: NODE, ver })).toXml());
  for (let round = 0; round < ROUNDS; round++) {
    await stage.quiesce();
    answerAll(speaker, `${NODE}#${ver}`, answer);
  }
  await stage.ignorePresence(stage.bound);
}

function answerAll({ client }: Speaker, node: string, answer: Element): void {
  const isQuestion = (item: (typeof client.inbox)[number]): boolean =>
    item.kind === 'element' && item.element.name === 'iq' && item.element.attrs.type === 'get';
  const questions = client.inbox.filter(isQuestion);
  client.inbox.splice(0, client.inbox.length, ...client.inbox.filter((item) => !isQuestion(item)));
  for (const item of questions) {
    if (item.kind !== 'element') continue;
    const { id, from } = item.element.attrs;
    const attrs = { type: 'result', id: String(id), to: String(from) };
    client.write(el('iq', null, attrs, answer.with({ node })).toXml());
  }
}
