// The contract of the cluster port (src/cluster/cluster.ts), over every adapter there is.
import { describe, expect, test, vi } from 'vitest';
import type { Cluster, Frame, NodeId, SessionEntry } from '../../src/cluster/cluster.ts';
import { Jid } from '../../src/xmpp/jid.ts';
import { closing, clusterAdapters, type Made } from '../kit/cluster-adapters.ts';

const { adapters } = clusterAdapters();

const jid = (text: string): Jid => Jid.parse(text)!;

function entry(cluster: Cluster, full: string, sid: string, more: Partial<SessionEntry> = {}): SessionEntry {
  return { jid: jid(full), node: cluster.self, sid, available: false, priority: 0, shared: {}, ...more };
}

for (const adapter of adapters) {
  describe(adapter.name, () => {
    const start = closing(adapter);

    test('every node knows itself and all the others', async () => {
      const { clusters } = await start();
      expect(clusters).toHaveLength(adapter.nodes);
      for (const { nodes } of clusters) expect([...nodes].sort()).toEqual(clusters.map(({ self }) => self).sort());
    });

    test('what one node puts into the directory every node finds', async () => {
      const { clusters } = await start();
      const [first] = clusters as [Cluster];
      const put = entry(first, 'romeo@verona.test/orchard', 's1', {
        available: true,
        priority: 5,
        shared: { carbons: true },
      });
      expect(await first.directory.put(put)).toBeUndefined();
      for (const { directory } of clusters) {
        const [found, ...others] = await directory.sessions(jid('romeo@verona.test').bare);
        expect(others).toEqual([]);
        expect(found?.jid.full).toBe('romeo@verona.test/orchard');
        expect({ ...found, jid: undefined }).toMatchObject({
          node: first.self,
          sid: 's1',
          available: true,
          priority: 5,
          shared: { carbons: true },
        });
        expect(await directory.sessions(jid('juliet@verona.test').bare)).toEqual([]);
      }
    });

    test('a session that is put by another node is its own, whatever the one that had it does, and when that dies', async () => {
      const { clusters, kill, idle } = await start();
      const [first, second] = clusters as [Cluster, Cluster?];
      if (second === undefined || kill === undefined) return;
      const full = jid('romeo@verona.test/orchard');
      const orphans: SessionEntry[] = [];
      second.receive(() => {});
      second.onOrphans((sessions) => void orphans.push(...sessions));
      const holders = async (): Promise<unknown> =>
        (await second.directory.sessions(full.bare, true)).map(({ node, sid, priority }) => [node, sid, priority]);
      const sid = `s1.${first.self}`;
      await first.directory.put(entry(first, full.full, sid));
      expect(await second.directory.put(entry(second, full.full, sid, { priority: 1 }))).toBeUndefined();
      expect(await holders()).toEqual([[second.self, sid, 1]]);
      first.directory.release(full, sid);
      expect(await holders()).toEqual([[second.self, sid, 1]]);
      // it comes back, and goes again
      await first.directory.put(entry(first, full.full, sid));
      expect((await first.directory.sessions(full.bare, true)).map(({ node }) => node)).toEqual([first.self]);
      second.directory.release(full, sid);
      await second.directory.put(entry(second, full.full, sid, { priority: 2 }));
      // (it has not been released)
      kill(first.self);
      await idle();
      expect(await holders()).toEqual([[second.self, sid, 2]]);
      expect(orphans).toEqual([]);
    });

    test('putting the same session again changes it and replaces nobody', async () => {
      const { clusters } = await start();
      const [first] = clusters as [Cluster];
      await first.directory.put(entry(first, 'romeo@verona.test/orchard', 's1'));
      expect(
        await first.directory.put(entry(first, 'romeo@verona.test/orchard', 's1', { priority: -1 })),
      ).toBeUndefined();
      const found = await first.directory.sessions(jid('romeo@verona.test').bare);
      expect(found.map(({ priority }) => priority)).toEqual([-1]);
    });

    test('putting another session of the same full JID tells which one it replaced', async () => {
      const { clusters } = await start();
      const last = clusters.at(-1)!;
      const [first] = clusters as [Cluster];
      await first.directory.put(entry(first, 'romeo@verona.test/orchard', 's1'));
      const replaced = await last.directory.put(entry(last, 'romeo@verona.test/orchard', 's2'));
      expect(replaced).toMatchObject({ sid: 's1', node: first.self });
      // (word of it may be under way)
      const found = await first.directory.sessions(jid('romeo@verona.test').bare, true);
      expect(found.map(({ sid }) => sid)).toEqual(['s2']);
    });

    test('dropping removes an entry, but not that of a session which took its place', async () => {
      const { clusters } = await start();
      const [first] = clusters as [Cluster];
      const orchard = jid('romeo@verona.test/orchard');
      await first.directory.put(entry(first, orchard.full, 's1'));
      await first.directory.put(entry(first, 'romeo@verona.test/garden', 's2'));
      await first.directory.put(entry(first, orchard.full, 's3'));
      await first.directory.drop(orchard, 's1');
      const before = await first.directory.sessions(orchard.bare);
      expect(before.map(({ sid }) => sid).sort()).toEqual(['s2', 's3']);
      await first.directory.drop(orchard, 's3');
      const after = await first.directory.sessions(orchard.bare);
      expect(after.map(({ sid }) => sid)).toEqual(['s2']);
    });

    test('a list of sessions that was handed out does not change', async () => {
      const { clusters } = await start();
      const [first] = clusters as [Cluster];
      await first.directory.put(entry(first, 'romeo@verona.test/orchard', 's1'));
      const list = await first.directory.sessions(jid('romeo@verona.test').bare);
      await first.directory.put(entry(first, 'romeo@verona.test/garden', 's2'));
      await first.directory.drop(jid('romeo@verona.test/orchard'), 's1');
      expect(list.map(({ sid }) => sid)).toEqual(['s1']);
    });

    test('a node can call itself', async () => {
      const { clusters } = await start();
      const [first] = clusters as [Cluster];
      first.answer('add', (body) => (body as { a: number }).a + 1);
      expect(await first.call(first.self, 'add', { a: 1 })).toBe(2);
    });

    test('a call that nobody answers is rejected, and so is one whose answer throws', async () => {
      const { clusters } = await start();
      const [first] = clusters as [Cluster];
      const last = clusters.at(-1)!;
      await expect(first.call(last.self, 'unheard-of', {})).rejects.toThrow();
      last.answer('fail', () => {
        throw new Error('not today');
      });
      await expect(first.call(last.self, 'fail', {})).rejects.toThrow('not today');
    });

    test('an answer can be taken back', async () => {
      const { clusters } = await start();
      const [first] = clusters as [Cluster];
      const stop = first.answer('once', () => 1);
      stop();
      await expect(first.call(first.self, 'once', {})).rejects.toThrow();
    });

    test('what is published does not come back to who published it', async () => {
      const { clusters, idle } = await start();
      const [first] = clusters as [Cluster];
      const heard: unknown[] = [];
      first.subscribe('news', (body) => heard.push(body));
      first.publish('news', { headline: 'peace' });
      await idle();
      expect(heard).toEqual([]);
    });

    test('all nodes agree who owns a key', async () => {
      const { clusters } = await start();
      for (let i = 0; i < 50; i++) {
        const owners = new Set(clusters.map((cluster) => cluster.owner(`room${i}@groups.verona.test`)));
        expect(owners.size).toBe(1);
        expect(clusters[0]!.nodes.has([...owners][0]!)).toBe(true);
      }
    });
  });
}

for (const adapter of adapters.filter(({ nodes }) => nodes > 1)) {
  describe(`${adapter.name}, between nodes`, () => {
    const make = closing(adapter);
    let made: Made;
    const start = async (): Promise<readonly [Cluster, Cluster]> => {
      made = await make();
      return made.clusters as unknown as readonly [Cluster, Cluster];
    };

    test('frames arrive in the order they were sent, with who sent them', async () => {
      const [one, two] = await start();
      const heard: [Frame, NodeId][] = [];
      two.receive((frame, from) => {
        heard.push([frame, from]);
      });
      const sent: Frame[] = Array.from({ length: 100 }, (_, i) => ({
        kind: 'deliver',
        to: [{ jid: 'romeo@verona.test/orchard', sid: 'one' }],
        xml: `<message id='${i}'><body>&lt;é💕</body></message>`,
      }));
      for (const frame of sent) one.send(two.self, frame);
      await made.idle();
      expect(heard.map(([frame]) => frame)).toEqual(sent);
      expect(new Set(heard.map(([, from]) => from))).toEqual(new Set([one.self]));
    });

    test('a call does not overtake the frames before it', async () => {
      const [one, two] = await start();
      const heard: string[] = [];
      two.receive((frame) => {
        heard.push(frame.xml);
      });
      two.answer('heard', () => heard.length);
      for (let i = 0; i < 10; i++) one.send(two.self, { kind: 'deliver', to: [], xml: String(i) });
      expect(await one.call(two.self, 'heard', null)).toBe(10);
    });

    test('calls are answered by the node that was asked, with what was asked', async () => {
      const [one, two] = await start();
      one.answer('echo', (body, from) => ['one', from, body]);
      two.answer('echo', async (body, from) => ['two', from, body]);
      expect(await one.call(two.self, 'echo', { deep: [1, 'a'] })).toEqual(['two', one.self, { deep: [1, 'a'] }]);
      expect(await two.call(one.self, 'echo', null)).toEqual(['one', two.self, null]);
    });

    test('what is published reaches the others, until they stop listening', async () => {
      const [one, two] = await start();
      const heard: unknown[] = [];
      const stop = two.subscribe('news', (body, from) => heard.push([body, from]));
      one.publish('news', { n: 1 });
      one.publish('gossip', { n: 2 });
      await made.idle();
      stop();
      one.publish('news', { n: 3 });
      await made.idle();
      expect(heard).toEqual([[{ n: 1 }, one.self]]);
    });

    test('each node sees what it did itself at once, whatever it remembered', async () => {
      const [one, two] = await start();
      const orchard = jid('romeo@verona.test/orchard');
      const sids = async ({ directory }: Cluster): Promise<string[]> =>
        (await directory.sessions(orchard.bare)).map(({ sid }) => sid);
      expect(await sids(one)).toEqual([]);
      expect(await sids(two)).toEqual([]);
      for (let i = 0; i < 20; i++) {
        const [self, other] = i % 2 === 0 ? [one, two] : [two, one];
        const there = self.directory.put(entry(self, orchard.full, `s${i}`));
        const elsewhere = other.directory.put(entry(other, `romeo@verona.test/garden${i}`, `g${i}`));
        await there;
        expect(await sids(self)).toContain(`s${i}`);
        await self.directory.drop(orchard, `s${i}`);
        expect(await sids(self)).not.toContain(`s${i}`);
        await elsewhere;
        expect(await sids(other)).toContain(`g${i}`);
        await other.directory.drop(jid(`romeo@verona.test/garden${i}`), `g${i}`);
        expect(await sids(other)).not.toContain(`g${i}`);
      }
    });

    test('who asks for what is true now is told of all that any node had put', async () => {
      const [one, two] = await start();
      const romeo = jid('romeo@verona.test');
      for (let i = 0; i < 10; i++) {
        const full = `romeo@verona.test/${i}`;
        expect(await two.directory.sessions(romeo.bare)).toBeDefined();
        await one.directory.put(entry(one, full, `s${i}`, { priority: i }));
        expect(await two.directory.sessions(romeo.bare, true)).toMatchObject([{ sid: `s${i}`, priority: i }]);
        await one.directory.drop(jid(full), `s${i}`);
        expect(await two.directory.sessions(romeo.bare, true)).toEqual([]);
      }
    });

    test('of two nodes that put the same full JID at once exactly one is told of the other, and its session stays', async () => {
      const [one, two] = await start();
      for (let i = 0; i < 20; i++) {
        const full = jid(`romeo@verona.test/${i}`);
        const told = await Promise.all([
          one.directory.put(entry(one, full.full, `a${i}`)),
          two.directory.put(entry(two, full.full, `b${i}`)),
        ]);
        const others = told.map((other) => other?.sid);
        expect([[undefined, `a${i}`].join(), [`b${i}`, undefined].join()]).toContain(others.join());
        const winner = others[0] === undefined ? `b${i}` : `a${i}`;
        // whoever lost drops what is not there any more
        await one.directory.drop(full, winner.startsWith('a') ? `b${i}` : `a${i}`);
        for (const { directory } of [one, two]) {
          const found = await directory.sessions(full.bare, true);
          expect(found.filter((found) => found.jid.full === full.full).map(({ sid }) => sid)).toEqual([winner]);
        }
      }
    });

    test('in the end every node has heard of every change without asking', async () => {
      const [one, two] = await start();
      const romeo = jid('romeo@verona.test').bare;
      await two.directory.sessions(romeo);
      await Promise.all(
        Array.from({ length: 20 }, (_, i) => one.directory.put(entry(one, `romeo@verona.test/${i}`, `s${i}`))),
      );
      await Promise.all(
        Array.from({ length: 20 }, (_, i) =>
          i % 2 === 0
            ? one.directory.drop(jid(`romeo@verona.test/${i}`), `s${i}`)
            : one.directory.put(entry(one, `romeo@verona.test/${i}`, `s${i}`, { priority: i })),
        ),
      );
      const expected = Array.from({ length: 10 }, (_, i) => `s${2 * i + 1} ${2 * i + 1}`).sort();
      await made.idle();
      await vi.waitFor(async () => {
        const found = await two.directory.sessions(romeo);
        expect(found.map(({ sid, priority }) => `${sid} ${priority}`).sort()).toEqual(expected);
      }, 5000);
    });

    test('when a node dies the others are told, and its sessions are gone', async () => {
      const [one, two] = await start();
      one.receive(() => {});
      await one.directory.put(entry(one, 'romeo@verona.test/orchard', 's1'));
      await two.directory.put(entry(two, 'romeo@verona.test/garden', 's2'));
      const seen: [NodeId, boolean][] = [];
      one.onNode((node, up) => seen.push([node, up]));
      made.kill?.(two.self);
      await made.idle();
      expect(seen).toEqual([[two.self, false]]);
      expect([...one.nodes]).toEqual([one.self]);
      expect(one.owner('anything')).toBe(one.self);
      const left = async (): Promise<readonly string[]> => {
        const entries = await one.directory.sessions(jid('romeo@verona.test').bare);
        return entries.map(({ sid }) => sid);
      };
      await expect.poll(left).toEqual(['s1']);
    });

    test('a call to a node that died is rejected in time', async () => {
      const [one, two] = await start();
      two.answer('echo', (body) => body);
      made.kill?.(two.self);
      await expect(one.call(two.self, 'echo', 1)).rejects.toThrow();
    });
  });
}
