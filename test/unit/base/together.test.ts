import { beforeEach, expect, test } from 'vitest';
import { Together } from '../../../src/base/together.ts';

let questions: (readonly string[])[];
let together: Together<string>;

beforeEach(() => {
  questions = [];
  together = new Together(
    async (keys) => {
      questions.push(keys);
      if (keys.includes('broken')) throw new Error('broken');
      return new Map(keys.filter((key) => key !== 'unknown').map((key) => [key, `${key}!`]));
    },
    () => 'nothing',
  );
});

const ask = (...keys: string[]): Promise<string[]> => Promise.all(keys.map((key) => together.ask(key)));

test('what is asked at the same moment is one question, in which nothing is asked twice', async () => {
  expect(await ask('a', 'b', 'a', 'unknown')).toEqual(['a!', 'b!', 'a!', 'nothing']);
  expect(questions).toEqual([['a', 'b', 'unknown']]);
});

test('so is what many ask in answer to one thing, after however many steps', async () => {
  const steps = async (key: string, count: number): Promise<string> => {
    for (let i = 0; i < count; i++) await undefined;
    return together.ask(key);
  };
  await Promise.all([steps('a', 0), steps('b', 3), steps('c', 10)]);
  expect(questions).toEqual([['a', 'b', 'c']]);
});

test('what is asked later is another question', async () => {
  await ask('a');
  await ask('a', 'b');
  expect(questions).toEqual([['a'], ['a', 'b']]);
});

test('a question that fails, fails for those who asked it and nobody after them', async () => {
  const first = ask('a', 'broken');
  await expect(first).rejects.toThrow('broken');
  expect(await ask('a')).toEqual(['a!']);
});

test('a question is not about more than a thousand', async () => {
  await ask(...Array.from({ length: 2500 }, (_, i) => `k${i}`));
  expect(questions.map((keys) => keys.length)).toEqual([1000, 1000, 500]);
});
