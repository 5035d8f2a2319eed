import fc from 'fast-check';
import { beforeAll, describe, expect, test } from 'vitest';
import { answerQuery, type QueryLimits, type Readable } from '../../../../src/modules/mam/query.ts';
import { createMemoryDriver } from '../../../../src/storage/memory.ts';
import type { ArchiveStore } from '../../../../src/storage/ports.ts';
import { archive } from '../../../../src/storage/specs.ts';
import { parseElement } from '../../../../src/xml/document.ts';
import type { Element } from '../../../../src/xml/element.ts';
import { formatDateTime } from '../../../../src/xmpp/datetime.ts';
import { Jid } from '../../../../src/xmpp/jid.ts';
import { NS } from '../../../../src/xmpp/ns.ts';
import { FakeClock } from '../../../kit/clock.ts';

const juliet = Jid.parse('juliet@verona.test')!;
const reader = Jid.parse('juliet@verona.test/balcony')!;
const limits: QueryLimits = { pageSize: 250, pageLength: 1024 * 1024, languages: ['en'] };
const others = ['romeo@verona.test', 'tybalt@verona.test', 'nurse@verona.test'];
const resources = ['', 'orchard', 'garden'];

interface Known {
  readonly id: string;
  readonly at: number;
  readonly with: string;
  readonly resource: string;
}

let clock: FakeClock;
let store: ArchiveStore;
let known: Known[];

async function open(): Promise<void> {
  clock = new FakeClock();
  const opened = await createMemoryDriver(clock).open('verona.test', 'mam', { messages: archive() });
  store = opened.messages as ArchiveStore;
  known = [];
}

function add(n: number, body: string): void {
  const [party, resource] = [others[n % 3]!, resources[(n >> 2) % 3]!];
  const { id } = store.append('juliet', {
    with: party,
    resource,
    xml: `<message id='${n}'><body>${body}</body></message>`,
  });
  known.push({ id, at: clock.now(), with: party, resource });
}

/** What the clients of this test know of an answer. */
interface Answer {
  readonly ids: readonly string[];
  readonly first: string | undefined;
  readonly last: string | undefined;
  readonly complete: boolean;
}

async function ask(fields: string, set: string, pageSize = limits.pageSize): Promise<Answer> {
  const form = `<x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE'><value>${NS.mam}</value></field>${fields}</x>`;
  const query = parseElement(`<query xmlns='${NS.mam}'>${form}<set xmlns='${NS.rsm}'>${set}</set></query>`);
  const archiveOfJuliet: Readable = { store, owner: 'juliet', jid: juliet };
  const { messages, fin } = await answerQuery(archiveOfJuliet, query, reader, { ...limits, pageSize });
  const rsm = fin.getChild('set', NS.rsm)!;
  return {
    ids: messages.map((message) => message.el.getChild('result', NS.mam)!.attrs.id!),
    first: rsm.getChildText('first'),
    last: rsm.getChildText('last'),
    complete: fin.attrs.complete === 'true',
  };
}

describe('thousands of messages', () => {
  beforeAll(async () => {
    await open();
    for (let n = 0; n < 3000; n++) {
      // several at the same moment, then a pause
      if (n % 7 === 0) await clock.advance((n % 11) * 100 + 1);
      add(n, `number ${n}`);
    }
  });

  const place = fc.option(fc.nat(2999), { nil: undefined });
  const filters = fc.record({
    with: fc.option(fc.constantFrom(...others, 'nobody@verona.test'), { nil: undefined }),
    resource: fc.option(fc.constantFrom('orchard', 'garden'), { nil: undefined }),
    start: place,
    end: place,
    after: place,
    before: place,
  });
  type Filters = typeof filters extends fc.Arbitrary<infer T> ? T : never;

  function fieldsOf(filter: Filters): string {
    const field = (name: string, value: string | undefined): string =>
      value === undefined ? '' : `<field var='${name}'><value>${value}</value></field>`;
    const address = filter.resource === undefined ? filter.with : `${filter.with}/${filter.resource}`;
    const time = (n: number | undefined) => (n === undefined ? undefined : formatDateTime(known[n]!.at));
    return (
      field('with', filter.with === undefined ? undefined : address) +
      field('start', time(filter.start)) +
      field('end', time(filter.end)) +
      field('after-id', filter.after === undefined ? undefined : known[filter.after]!.id) +
      field('before-id', filter.before === undefined ? undefined : known[filter.before]!.id)
    );
  }

  /** The same by the plainest means there are: ids in the order in which they were added. */
  function expected(filter: Filters): string[] {
    return known
      .filter(
        (one, n) =>
          (filter.with === undefined ||
            (one.with === filter.with && (filter.resource === undefined || one.resource === filter.resource))) &&
          (filter.start === undefined || one.at >= known[filter.start]!.at) &&
          (filter.end === undefined || one.at <= known[filter.end]!.at) &&
          (filter.after === undefined || n > filter.after) &&
          (filter.before === undefined || n < filter.before),
      )
      .map(({ id }) => id);
  }

  async function readAll(filter: Filters, sizes: readonly number[], isBackwards: boolean): Promise<string[]> {
    const fields = fieldsOf(filter);
    let found: readonly string[] = [];
    let from = isBackwards ? '<before/>' : '';
    for (let page = 0; ; page++) {
      const size = sizes[page % sizes.length]!;
      const answer = await ask(fields, `<max>${size}</max>${from}`);
      expect(answer.ids.length).toBeLessThanOrEqual(size);
      expect([answer.first, answer.last]).toEqual([answer.ids[0], answer.ids.at(-1)]);
      found = isBackwards ? [...answer.ids, ...found] : [...found, ...answer.ids];
      if (answer.complete) return [...found];
      from = isBackwards ? `<before>${answer.first}</before>` : `<after>${answer.last}</after>`;
    }
  }

  test.each([
    ['forwards', false],
    ['backwards', true],
  ])(
    'are read page by page %s, whatever the filters and the sizes of the pages, each once and in order',
    async (_way, isBackwards) => {
      await fc.assert(
        fc.asyncProperty(
          filters,
          fc.array(fc.integer({ min: 40, max: 400 }), { minLength: 1, maxLength: 4 }),
          async (filter, sizes) => {
            expect(await readAll(filter, sizes, isBackwards)).toEqual(expected(filter));
          },
        ),
        { numRuns: 60 },
      );
    },
    60_000,
  );

  test('a page of one at a time, to the end and back', async () => {
    const filter: Filters = {
      with: others[0],
      resource: 'garden',
      start: 2900,
      end: undefined,
      after: undefined,
      before: undefined,
    };
    expect(await readAll(filter, [1], false)).toEqual(expected(filter));
    expect(await readAll(filter, [1], true)).toEqual(expected(filter));
  });
});

describe('large messages', () => {
  const large = 'x'.repeat(200_000);

  beforeAll(async () => {
    await open();
    for (let n = 0; n < 12; n++) add(n, large);
    add(12, 'x'.repeat(3_000_000));
    add(13, 'small');
  });

  test('make a page shorter than was asked for, never empty, and nothing is left out', async () => {
    for (const [start, way] of [
      ['', 'after'],
      ['<before/>', 'before'],
    ] as const) {
      const pages: (readonly string[])[] = [];
      let from: string = start;
      for (;;) {
        const { ids, first, last, complete } = await ask('', `<max>100</max>${from}`);
        expect(ids.length).toBeGreaterThan(0);
        expect(ids.length).toBeLessThanOrEqual(5);
        if (way === 'after') pages.push(ids);
        else pages.unshift(ids);
        if (complete) break;
        from = way === 'after' ? `<after>${last}</after>` : `<before>${first}</before>`;
      }
      expect(pages.flat()).toEqual(known.map(({ id }) => id));
    }
  });
});

test('what was stored is sent as it was stored, byte for byte', async () => {
  await open();
  const xml = `<message from='a@b/c' to='juliet@verona.test' xml:lang="en"><body>&lt;&#x1F600;&quot;</body><p:x xmlns:p='urn:x'><![CDATA[<]]></p:x></message>`;
  store.append('juliet', { with: 'a@b', resource: 'c', xml });
  const query: Element = parseElement(`<query xmlns='${NS.mam}' queryid='"&lt;'/>`);
  const { messages } = await answerQuery({ store, owner: 'juliet', jid: juliet }, query, reader, limits);
  const written = messages[0]!.el.toXml();
  expect(written).toContain(
    `<message xmlns='jabber:client'${xml.slice('<message'.length)}</forwarded></result></message>`,
  );
  expect(parseElement(written).getChild('result', NS.mam)!.attrs.queryid).toBe('"<');
});
