import { describe, expect, it } from 'vitest';
import { type Element, el } from '../../../src/xml/element.ts';
import {
  booleanField,
  choiceField,
  choicesField,
  findForm,
  formElement,
  formTypeOf,
  hiddenField,
  integerField,
  jidField,
  jidsField,
  linesField,
  passwordField,
  rawValues,
  readForm,
  resultElement,
  submitElement,
  tableElement,
  textField,
} from '../../../src/xmpp/dataform.ts';
import { Jid } from '../../../src/xmpp/jid.ts';
import { NS } from '../../../src/xmpp/ns.ts';

const bot = {
  formType: 'jabber:bot',
  title: 'Bot Configuration',
  instructions: 'Fill out this form to configure your new bot!',
  fields: {
    botname: textField('The name of your bot', { required: true }),
    description: linesField('Helpful description of your bot', { desc: 'Shown to everybody' }),
    public: booleanField('Public bot?'),
    password: passwordField('Password for special access'),
    features: choicesField('What features will the bot support?', { contests: 'Contests', news: 'News' }),
    maxsubs: choiceField('Maximum number of subscribers', { 10: '10', none: 'None' }),
    invitelist: jidsField('People to invite'),
    owner: jidField('Owner'),
    port: integerField('Port', { min: 1, max: 65535 }),
    token: hiddenField(),
  },
};
const values = {
  botname: 'The Jabber Google Bot',
  description: 'one\ntwo',
  public: false,
  password: 'v3r0na',
  features: ['news'] as const,
  maxsubs: 'none' as const,
  invitelist: [Jid.parse('juliet@capulet.com')!],
  owner: Jid.parse('o@capulet.com')!,
  port: 5222,
  token: 't',
};
const field = (name: string, ...given: string[]): Element =>
  el('field', NS.dataForms, { var: name }, ...given.map((value) => el('value', NS.dataForms, {}, value)));
const submission = (...fields: Element[]): Element =>
  el('x', NS.dataForms, { type: 'submit' }, field('botname', 'Bot'), ...fields);

describe('a form to fill in (XEP-0004 3)', () => {
  it('has its title, its context, and every field with its options and its value', () => {
    const { botname, description, maxsubs } = bot.fields;
    const form = { ...bot, fields: { botname, description, maxsubs } };
    expect(formElement(form, { description: 'a\nb', maxsubs: '10' }).toXml()).toBe(
      `<x xmlns='jabber:x:data' type='form'><title>Bot Configuration</title>` +
        `<instructions>Fill out this form to configure your new bot!</instructions>` +
        `<field var='FORM_TYPE' type='hidden'><value>jabber:bot</value></field>` +
        `<field var='botname' type='text-single' label='The name of your bot'><required/></field>` +
        `<field var='description' type='text-multi' label='Helpful description of your bot'>` +
        `<desc>Shown to everybody</desc><value>a</value><value>b</value></field>` +
        `<field var='maxsubs' type='list-single' label='Maximum number of subscribers'><value>10</value>` +
        `<option label='10'><value>10</value></option><option label='None'><value>none</value></option></field></x>`,
    );
  });

  it('comes back with what was put in', () => {
    expect(readForm(bot, submitElement(bot, values))).toEqual(values);
  });
});

describe('a result', () => {
  it('leaves out what has no value', () => {
    const form = { formType: 'urn:x', fields: { a: textField('A'), b: textField('B') } };
    expect(resultElement(form, { b: '' }).toXml()).toBe(
      `<x xmlns='jabber:x:data' type='result'><field var='FORM_TYPE' type='hidden'><value>urn:x</value></field>` +
        `<field var='b' type='text-single' label='B'><value/></field></x>`,
    );
  });

  it('may be a table (XEP-0004 3.4)', () => {
    expect(tableElement('People', { name: 'Name' }, [{ name: 'Juliet' }]).toXml()).toBe(
      `<x xmlns='jabber:x:data' type='result'><title>People</title>` +
        `<reported><field var='name' type='text-single' label='Name'/></reported>` +
        `<item><field var='name'><value>Juliet</value></field></item></x>`,
    );
  });
});

describe('a submission', () => {
  it('leaves out what it does not change, and what is not known is ignored (XEP-0004 3.1, 3.5)', () => {
    expect(readForm(bot, submission(field('unknown', 'x'), field('public', '1')))).toEqual({
      botname: 'Bot',
      public: true,
    });
  });

  it.each([
    ['nothing', [], false],
    ['true', ['true'], true],
    ['1', ['1'], true],
    ['false', ['false'], false],
    ['0', ['0'], false],
  ])('may say %s for a boolean', (_, given, value) => {
    expect(readForm(bot, submission(field('public', ...given))).public).toBe(value);
  });

  it('unsets a text, and has no value for an address or a number that is empty (XEP-0004 3.6)', () => {
    expect(
      readForm(bot, submission(field('password'), field('description'), field('owner', ''), field('port'))),
    ).toEqual({ botname: 'Bot', password: '', description: '' });
  });

  it('names an address once that it names twice (XEP-0004 3.3)', () => {
    const { invitelist } = readForm(bot, submission(field('invitelist', 'A@b.example', 'a@B.example')));
    expect(invitelist?.map(String)).toEqual(['a@b.example']);
  });

  it.each([
    ['a boolean that is none', field('public', 'maybe')],
    ['two values for one', field('password', 'a', 'b')],
    ['a choice that was not offered', field('maxsubs', '11')],
    ['the name of a property for a choice', field('maxsubs', 'toString')],
    ['one choice of several that was not offered', field('features', 'news', 'spam')],
    ['an address that is none', field('owner', 'a@b@c')],
    ['one address of several that is none', field('invitelist', 'a@b.example', 'a b@c')],
    ['a number that is none', field('port', '5222.5')],
    ['a number that is too great', field('port', '65536')],
  ])('is not acceptable with %s', (_, bad) => {
    expect(() => readForm(bot, submission(bad))).toThrowError(expect.objectContaining({ condition: 'not-acceptable' }));
  });

  it.each([
    ['without it', el('x', NS.dataForms, { type: 'submit' })],
    ['with it empty', el('x', NS.dataForms, { type: 'submit' }, field('botname', ''))],
  ])('is not acceptable %s where a field is required', (_, x) => {
    expect(() => readForm(bot, x)).toThrowError(expect.objectContaining({ condition: 'not-acceptable' }));
  });

  it.each([
    ['of another type', el('x', NS.dataForms, { type: 'cancel' })],
    ['of another namespace', el('x', 'urn:x', { type: 'submit' })],
    ['of another form', submission(field('FORM_TYPE', 'jabber:other'))],
  ])('is none when it is a form %s', (_, x) => {
    expect(() => readForm(bot, x)).toThrowError(expect.objectContaining({ condition: 'bad-request' }));
  });

  it('takes the first of two fields of one name, whatever it is called', () => {
    const raw = rawValues(submission(field('a', '1'), field('a', '2'), field('__proto__', 'x'), field('b')));
    expect([...raw]).toEqual([
      ['botname', ['Bot']],
      ['a', ['1']],
      ['__proto__', ['x']],
      ['b', []],
    ]);
  });
});

describe('the context of a form (XEP-0068)', () => {
  const typed = (kind: string, type?: string): Element =>
    el(
      'x',
      NS.dataForms,
      { type: kind },
      el('field', NS.dataForms, { var: 'FORM_TYPE', type }, el('value', NS.dataForms, {}, 'urn:x')),
    );

  it('is hidden, which goes without saying in a submission', () => {
    expect(formTypeOf(typed('form', 'hidden'))).toBe('urn:x');
    expect(formTypeOf(typed('result'))).toBeUndefined();
    expect(formTypeOf(typed('submit'))).toBe('urn:x');
    expect(formTypeOf(typed('submit', 'text-single'))).toBeUndefined();
    expect(formTypeOf(el('x', NS.dataForms, { type: 'submit' }))).toBeUndefined();
  });

  it('finds the form that is meant', () => {
    const other = el('x', NS.dataForms, { type: 'submit' });
    const query = el('query', 'urn:q', {}, other, typed('submit'));
    expect(findForm(query)).toBe(other);
    expect(findForm(query, 'urn:x')).toBe(query.children[1]);
    expect(findForm(query, 'urn:y')).toBeUndefined();
  });
});
