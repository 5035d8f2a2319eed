// Scenes that must fail, do; and the report says where and why.
import { describe, expect, test } from 'vitest';
import { coverageTable } from '../../kit/coverage.ts';
import { play } from '../../kit/play.ts';
import { readScenario } from '../../kit/scenario.ts';
import { worlds } from '../../kit/worlds.ts';

const cast = 'Romeo has resources orchard\nJuliet has resources balcony\neveryone is online\n';

async function failureOf(lines: string, world = worlds[0]!): Promise<string> {
  const [scene] = readScenario('try.scenario', `Scene: a try\n${lines}`);
  try {
    await play(scene!, world);
  } catch (error) {
    return (error as Error).message;
  }
  return 'it succeeded';
}

describe.each(worlds.map((world) => [world.name, world] as const))('in a world of %s', (_name, world) => {
  test('a scene as it should be succeeds', async () => {
    const lines = `${cast}orchard > <message to='{juliet}' id='1'/>\nbalcony < <message id='1'/>`;
    expect(await failureOf(lines, world)).toBe('it succeeded');
  });

  test('a stanza that nobody read is a failure', async () => {
    const report = await failureOf(`${cast}orchard > <message to='{juliet}' id='1'/>`, world);
    expect(report).toContain('at the end of the scene');
    expect(report).toMatch(/balcony < <message .*\(unread\)/);
  });

  test('"receives nothing" finds what came meanwhile', async () => {
    const report = await failureOf(`${cast}orchard > <message to='{juliet}'/>\nbalcony receives nothing`, world);
    expect(report).toContain('try.scenario:6');
    expect(report).toContain('expected nothing, but this came');
  });

  test('another stanza than the expected one is a failure that explains itself', async () => {
    const report = await failureOf(
      `${cast}orchard > <message to='{juliet}' id='1'/>\nbalcony < <message id='2'/>`,
      world,
    );
    expect(report).toContain("<message> has id='1'; expected '2'");
    expect(report).toContain('orchard > <message');
  });
});

test('silence where something is expected is a failure', async () => {
  expect(await failureOf(`${cast}balcony < <message/>`)).toContain('got:      nothing');
});

test('in any order means all of it', async () => {
  const lines = `${cast}orchard > <message to='{juliet}' id='1'/>\nin any order:\n  balcony < <message id='1'/>\n  balcony < <message id='2'/>`;
  const report = await failureOf(lines);
  expect(report).toContain("missing:\n  balcony < <message id='2'/>");
});

test('a connection that the server ends unexpectedly is a failure', async () => {
  const report = await failureOf(
    `${cast}orchard >> <parcel/>\norchard < <stream:error/>\norchard < </stream:stream>\nbalcony receives nothing`,
  );
  expect(report).toContain('the server ended the connection of orchard');
});

test('a statement that is not in the language is a failure', async () => {
  expect(await failureOf(`${cast}orchard sings`)).toContain('not in the language');
});

describe('scenario files', () => {
  test('the prologue belongs to every scene, and indented lines to their statement', () => {
    const [one, two] = readScenario(
      'x.scenario',
      '# about\nRomeo has an account\nScene: one\n# RFC 6121 2.1, 2.2: why\na > <x>\n    <y/>\n  </x>\nScene: two\nworlds: one node\nb < <z/>',
    );
    expect(one!.lines.map(({ text }) => text)).toEqual(['Romeo has an account', 'a > <x>']);
    expect(one!.lines[1]!.inner.map(({ text }) => text)).toEqual(['<y/>', '</x>']);
    expect(one!.references).toEqual([
      { document: 'RFC 6121', section: '2.1' },
      { document: 'RFC 6121', section: '2.2' },
    ]);
    expect(one!.worlds).toBeUndefined();
    expect(two!.worlds).toEqual(['one node']);
  });

  test('"for each" makes a scene of every combination', () => {
    const scenes = readScenario(
      'x.scenario',
      'Scene: {type} to {to}\nfor each type: chat, normal\nfor each to: a, b\nx > {type} {to}',
    );
    expect(scenes.map(({ title }) => title)).toEqual(['chat to a', 'chat to b', 'normal to a', 'normal to b']);
    expect(scenes[3]!.lines.map(({ text }) => text)).toEqual(['x > normal b']);
  });

  test('two scenes of one name are a mistake', () => {
    expect(() => readScenario('x.scenario', 'Scene: a\nScene: a')).toThrow('two scenes');
    expect(() => readScenario('x.scenario', 'Romeo has an account')).toThrow('no scenes');
  });

  test('the table of what is covered names each section once, in order', () => {
    const scenes = readScenario(
      'x.scenario',
      'Scene: a\n# RFC 6121 2.10\n# XEP-0199 4.2: pings\nScene: b\n# RFC6121 2.9, 2.10',
    );
    const table = coverageTable(scenes);
    expect(table.match(/^\| .*$/gm)).toEqual([
      '| Section | Scenes |',
      '| 2.9 | x.scenario: b |',
      '| 2.10 | x.scenario: a; x.scenario: b |',
      '| Section | Scenes |',
      '| 4.2 | x.scenario: a |',
    ]);
  });
});
