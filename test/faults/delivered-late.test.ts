// A message that a session gives back while the node that decides what becomes of it does not answer: it is still decided once.
import { expect, test } from 'vitest';
import { logIn } from '../kit/login.ts';
import { NodeGroup } from '../kit/node-group.ts';
import { Device, domain, Story } from './devices.ts';

test('a message is not kept twice because the node that it came from answers late', async () => {
  const group = await NodeGroup.start({ hosts: { [domain]: {} } }, { nodes: 2, timeout: 60 });
  const story = new Story();
  try {
    const [home, other] = group.nodes;
    for (const user of ['romeo', 'juliet']) await home!.server.server.accounts.create(`${user}@${domain}`, 'secret');
    const { client: juliet } = await logIn(home!.server.c2s, { user: 'juliet', password: 'secret', domain });
    const [phone, tablet] = [new Device('phone', story), new Device('tablet', story)];
    await phone.come(other!.server.c2s);
    await tablet.come(home!.server.c2s);
    for (const { client } of [phone, tablet]) {
      client?.write('<presence/>');
      await client?.fence();
    }
    await group.settle();
    juliet.write(`<message type='chat' id='m1' to='romeo@${domain}'><body>m1</body></message>`);
    await juliet.fence();
    await group.settle();
    expect([...story.arrived]).toEqual(['m1']);
    // neither has acknowledged it, and neither comes back
    for (const device of [phone, tablet]) await device.cut();
    await turns();
    group.bus.freeze(home!.id, true);
    await group.clock.advance(11 * 60_000);
    await turns(150);
    group.bus.freeze(home!.id, false);
    await group.settle();
    await turns(150);
    await group.settle();
    const reader = new Device('reader', story);
    await reader.come(other!.server.c2s, false);
    reader.client?.write('<presence/>');
    await reader.client?.fence();
    await group.settle();
    await reader.client?.fence();
    expect(String(story).match(/reader has m1/g)).toHaveLength(1);
    expect(story.problems).toEqual([]);
    await reader.cut();
    await juliet.destroy();
  } finally {
    await group.stop();
  }
});

function turns(ms = 30): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
