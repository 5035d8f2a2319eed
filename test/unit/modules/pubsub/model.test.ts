// The engine against a model of it that is small enough to be read: who may do what, what is stored, and who is told.
import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { Affiliation } from '../../../../src/modules/pubsub/config.ts';
import { NS } from '../../../../src/xmpp/ns.ts';
import { form, TestShelf } from '../../../kit/pubsub-shelf.ts';

const people = ['romeo', 'juliet', 'nurse', 'paris'] as const;
type Person = (typeof people)[number];
const bare = (who: Person): string => `${who}@verona.test`;

/** All that a node is, as far as the model knows. */
class Model {
  access = 'open';
  publishers = 'publishers';
  most = 1000;
  notifiesRetract = true;
  readonly affiliations = new Map<Person, Affiliation>([['romeo', 'owner']]);
  readonly subscribed = new Map<Person, 'pending' | 'subscribed'>();
  /** The oldest first. */
  items: { readonly id: string; readonly by: Person }[] = [];
  /** Who may see the presence of whom, by `owner who`. */
  readonly contacts = new Set<string>();

  affiliation(who: Person): Affiliation {
    return this.affiliations.get(who) ?? 'none';
  }
  private isOpenTo(who: Person): boolean {
    if (this.access === 'presence') {
      return people.some((owner) => this.affiliation(owner) === 'owner' && this.contacts.has(`${owner} ${who}`));
    }
    return this.access !== 'whitelist';
  }
  mayKnow(who: Person): boolean {
    const is = this.affiliation(who);
    return is === 'none' ? this.isOpenTo(who) : is !== 'outcast' && is !== 'publish-only';
  }
  mayRead(who: Person): boolean {
    const isAsked = this.access === 'authorize' && this.affiliation(who) === 'none';
    return this.mayKnow(who) && (!isAsked || this.subscribed.get(who) === 'subscribed');
  }
  mayPublish(who: Person): boolean {
    const is = this.affiliation(who);
    if (is === 'owner' || is === 'publisher' || is === 'publish-only') return true;
    if (is === 'outcast') return false;
    return (
      this.publishers === 'open' || (this.publishers === 'subscribers' && this.subscribed.get(who) === 'subscribed')
    );
  }
  /** Those who hear of items. */
  get audience(): Person[] {
    return people.filter((who) => this.subscribed.get(who) === 'subscribed' && this.mayRead(who));
  }
  /** Those that go to make room. */
  shrink(): number {
    const over = Math.max(0, this.items.length - this.most);
    this.items = this.items.slice(over);
    return over;
  }
}

interface Real {
  shelf: TestShelf;
}
/** How many messages about items each person was sent. */
function told(real: Real): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const line of real.shelf.heard()) {
    const match = /^(\w+)@verona.test: (items|purge)/.exec(line);
    if (match !== null) counts[match[1]!] = (counts[match[1]!] ?? 0) + 1;
  }
  return counts;
}
const each = (who: readonly Person[], times: number): Record<string, number> =>
  times === 0 ? {} : Object.fromEntries(who.map((one) => [one, times]));

type Step = (model: Model, real: Real) => Promise<void>;

/** Something that somebody does; the model says whether they may, and what follows. */
function command(name: string, step: Step): fc.AsyncCommand<Model, Real> {
  return {
    check: () => true,
    toString: () => name,
    async run(model, real) {
      real.shelf.told.length = 0;
      await step(model, real);
      // what everybody can read is what there is, the newest first
      for (const who of people) {
        const found = await real.shelf.get(`${bare(who)}/x`, "<items node='n'/>");
        const ids = [...found.matchAll(/<item id='(\w)'/g)].map(([, id]) => id!);
        const expected = model.mayRead(who) ? model.items.map(({ id }) => id).reverse() : 'nothing';
        expect([who, found.startsWith('<items') ? ids : 'nothing']).toEqual([who, expected]);
      }
    },
  };
}

const person = fc.constantFrom(...people);
/** Who does what only owners may: mostly somebody who may. */
const owner = fc.oneof({ weight: 4, arbitrary: fc.constant<Person>('romeo') }, { weight: 1, arbitrary: person });
const itemId = fc.constantFrom('a', 'b', 'c', 'd');
const affiliation = fc.constantFrom<Affiliation>('owner', 'publisher', 'publish-only', 'member', 'none', 'outcast');

const publish = fc.tuple(person, itemId).map(([who, id]) =>
  command(`${who} publishes ${id}`, async (model, real) => {
    const answer = await real.shelf.publish('n', id, 'x', `${bare(who)}/x`);
    expect(answer.startsWith('<publish')).toBe(model.mayPublish(who));
    if (!model.mayPublish(who)) return expect(told(real)).toEqual({});
    model.items = [...model.items.filter((one) => one.id !== id), { id, by: who }];
    const gone = model.shrink();
    expect(told(real)).toEqual(each(model.audience, gone > 0 && model.notifiesRetract ? 2 : 1));
  }),
);

const retract = fc.tuple(person, itemId, fc.boolean()).map(([who, id, notify]) =>
  command(`${who} takes ${id} back${notify ? ' aloud' : ''}`, async (model, real) => {
    const request = `<retract node='n' notify='${notify}'><item id='${id}'/></retract>`;
    const answer = await real.shelf.set(`${bare(who)}/x`, request);
    const item = model.items.find((one) => one.id === id);
    const is = model.affiliation(who);
    const may = item !== undefined && is !== 'outcast' && (is === 'owner' || item.by === who);
    expect(answer === '').toBe(may);
    if (may) model.items = model.items.filter((one) => one !== item);
    expect(told(real)).toEqual(may && (notify || model.notifiesRetract) ? each(model.audience, 1) : {});
  }),
);

const subscribe = person.map((who) =>
  command(`${who} subscribes`, async (model, real) => {
    const answer = await real.shelf.set(`${bare(who)}/x`, `<subscribe node='n' jid='${bare(who)}'/>`);
    const state = model.subscribed.get(who);
    const isAsked = model.access === 'authorize' && model.affiliation(who) === 'none';
    const may = model.mayKnow(who) && !(state === 'pending' && isAsked);
    expect(answer.startsWith('<subscription')).toBe(may);
    // (who waits is in where nobody is asked any more)
    const isNew = may && state !== 'subscribed';
    if (isNew) model.subscribed.set(who, isAsked ? 'pending' : 'subscribed');
    const isSent = isNew && model.subscribed.get(who) === 'subscribed' && model.items.length > 0;
    expect(told(real)).toEqual(isSent ? { [who]: 1 } : {});
  }),
);

const unsubscribe = person.map((who) =>
  command(`${who} unsubscribes`, async (model, real) => {
    const answer = await real.shelf.set(`${bare(who)}/x`, `<unsubscribe node='n' jid='${bare(who)}'/>`);
    expect(answer.startsWith('<subscription')).toBe(model.subscribed.delete(who));
  }),
);

const decide = fc.tuple(owner, person, fc.boolean()).map(([by, who, isAllowed]) =>
  command(`${by} ${isAllowed ? 'lets' : 'does not let'} ${who} in`, async (model, real) => {
    const fields = { node: 'n', subscriber_jid: bare(who), allow: String(isAllowed) };
    const answer = await real.shelf.say(`${bare(by)}/x`, `<message>${form(NS.pubsubAuthorization, fields)}</message>`);
    const may = model.affiliation(by) === 'owner' && model.subscribed.get(who) === 'pending';
    expect(answer === '').toBe(may);
    if (may && isAllowed) model.subscribed.set(who, 'subscribed');
    else if (may) model.subscribed.delete(who);
    expect(told(real)).toEqual(may && isAllowed && model.items.length > 0 ? { [who]: 1 } : {});
  }),
);

const affiliate = fc.tuple(owner, person, affiliation).map(([by, who, is]) =>
  command(`${by} makes ${who} ${is}`, async (model, real) => {
    const change = `<affiliations node='n'><affiliation jid='${bare(who)}' affiliation='${is}'/></affiliations>`;
    const answer = await real.shelf.setAsOwner(`${bare(by)}/x`, change);
    const owners = people.filter((one) => model.affiliation(one) === 'owner');
    const isLast = model.affiliation(who) === 'owner' && is !== 'owner' && owners.length === 1;
    const may = model.affiliation(by) === 'owner' && !isLast;
    expect(answer === '').toBe(may);
    if (!may || model.affiliation(who) === is) return;
    model.affiliations.set(who, is);
    if (is === 'outcast' || is === 'publish-only') model.subscribed.delete(who);
    else if (is !== 'none' && model.subscribed.get(who) === 'pending') model.subscribed.set(who, 'subscribed');
  }),
);

const configuration = fc.record({
  access_model: fc.constantFrom('open', 'presence', 'authorize', 'whitelist'),
  publish_model: fc.constantFrom('publishers', 'subscribers', 'open'),
  max_items: fc.constantFrom('1', '2', 'max'),
  notify_retract: fc.constantFrom('0', '1'),
});
const configure = fc.tuple(owner, configuration).map(([who, fields]) =>
  command(`${who} configures ${JSON.stringify(fields)}`, async (model, real) => {
    const request = `<configure node='n'>${form(NS.pubsubNodeConfig, fields)}</configure>`;
    const answer = await real.shelf.setAsOwner(`${bare(who)}/x`, request);
    const may = model.affiliation(who) === 'owner';
    expect(answer === '').toBe(may);
    if (!may) return;
    model.access = fields.access_model;
    model.publishers = fields.publish_model;
    model.most = fields.max_items === 'max' ? 1000 : Number(fields.max_items);
    model.notifiesRetract = fields.notify_retract === '1';
    const gone = model.shrink();
    expect(told(real)).toEqual(gone > 0 && model.notifiesRetract ? each(model.audience, 1) : {});
  }),
);

const purge = owner.map((who) =>
  command(`${who} removes everything`, async (model, real) => {
    const may = model.affiliation(who) === 'owner';
    expect((await real.shelf.setAsOwner(`${bare(who)}/x`, "<purge node='n'/>")) === '').toBe(may);
    if (may) model.items = [];
    expect(told(real)).toEqual(may && model.notifiesRetract ? each(model.audience, 1) : {});
  }),
);

const meet = fc.tuple(owner, person, fc.boolean()).map(([whom, who, isFrom]) =>
  command(`${who} ${isFrom ? 'sees' : 'does not see'} ${whom}`, async (model, real) => {
    real.shelf.contacts[`${bare(whom)} ${bare(who)}`] = { isFrom, groups: [] };
    if (isFrom) model.contacts.add(`${whom} ${who}`);
    else model.contacts.delete(`${whom} ${who}`);
  }),
);

const restart = fc.constant(command('the server restarts', async (_model, real) => void real.shelf.restart()));

const commands = [
  publish,
  publish,
  retract,
  subscribe,
  unsubscribe,
  decide,
  affiliate,
  configure,
  purge,
  meet,
  restart,
];

test('whatever people do at a node, what is stored and who is told is what the model says', {
  timeout: 60_000,
}, async () => {
  await fc.assert(
    fc.asyncProperty(fc.commands(commands, { maxCommands: 60, size: 'max' }), async (all) => {
      const shelf = await TestShelf.open();
      await shelf.create('n');
      await fc.asyncModelRun(() => ({ model: new Model(), real: { shelf } }), all);
    }),
    { numRuns: 120 },
  );
});
