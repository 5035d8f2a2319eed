import { describe, expect, it } from 'vitest';
import { plainConfig, type RoomConfig } from '../../../../src/modules/muc/config.ts';
import {
  chosen,
  type ExtraField,
  memberInvites,
  readSettings,
  settingsForm,
} from '../../../../src/modules/muc/settings.ts';
import { type Element, el } from '../../../../src/xml/element.ts';
import { booleanField, findForm, rawValues } from '../../../../src/xmpp/dataform.ts';
import { StanzaError } from '../../../../src/xmpp/errors.ts';
import { Jid } from '../../../../src/xmpp/jid.ts';
import { NS } from '../../../../src/xmpp/ns.ts';

const room = Jid.parse('coven@groups.verona.test')!;
const crone = Jid.parse('crone@verona.test')!;
const witch = Jid.parse('witch@verona.test')!;
const value = (text: string): Element => el('value', NS.dataForms, {}, text);
const field = (name: string, ...values: string[]): Element =>
  el('field', NS.dataForms, { var: name }, ...values.map(value));
const submission = (...fields: Element[]): Element =>
  el('x', NS.dataForms, { type: 'submit' }, field('FORM_TYPE', NS.mucRoomConfig), ...fields);
const read = (config: RoomConfig, ...fields: Element[]): RoomConfig =>
  readSettings(room, config, submission(...fields)).config;
const refusal = (work: () => unknown): StanzaError => {
  try {
    work();
  } catch (error) {
    if (error instanceof StanzaError) return error;
    throw error;
  }
  throw new Error('not refused');
};
const settings = { config: plainConfig, admins: [witch], owners: [crone] };
const formOf = (config: RoomConfig): Element =>
  findForm(settingsForm(room, { ...settings, config }), NS.mucRoomConfig)!;
const fieldOf = (form: Element, name: string): Element =>
  form.getChildren('field').find(({ attrs }) => attrs.var === name)!;

const config: RoomConfig = {
  ...plainConfig,
  name: 'A Dark Cave',
  language: 'en',
  isModerated: true,
  password: 'cauldronburn',
  maxUsers: 20,
  presenceBroadcast: ['moderator'],
  allowInvites: true,
};

describe('the form of a room', () => {
  it('shows what holds now', () => {
    const values = rawValues(formOf(config));
    expect(values.get('muc#roomconfig_roomname')).toEqual(['A Dark Cave']);
    expect(values.get('muc#roomconfig_passwordprotectedroom')).toEqual(['1']);
    expect(values.get('muc#roomconfig_roomsecret')).toEqual(['cauldronburn']);
    expect(values.get('muc#roomconfig_maxusers')).toEqual(['20']);
    expect(values.get('muc#roomconfig_allowinvites')).toEqual(['1']);
    expect(values.get(memberInvites)).toEqual(['1']);
    expect(values.get('muc#roomconfig_roomadmins')).toEqual([witch.full]);
    expect(values.get('muc#roomconfig_roomowners')).toEqual([crone.full]);
  });

  it('has the types that clients rely on', () => {
    const form = formOf(plainConfig);
    const types = Object.fromEntries(form.getChildren('field').map(({ attrs }) => [attrs.var, attrs.type]));
    expect(types).toMatchObject({
      // there are clients that take only a list for it, and others that take only text
      'muc#roomconfig_maxusers': undefined,
      'muc#roomconfig_whois': 'list-single',
      'muc#roomconfig_allowpm': 'list-single',
      'muc#roomconfig_presencebroadcast': 'list-multi',
      'muc#roomconfig_lang': 'text-single',
      'muc#roomconfig_defaulthistorymessages': 'text-single',
      'muc#roomconfig_roomsecret': 'text-private',
      'muc#roomconfig_roomowners': 'jid-multi',
      [memberInvites]: 'boolean',
    });
    for (const name of [
      'persistentroom',
      'publicroom',
      'membersonly',
      'moderatedroom',
      'enablelogging',
      'changesubject',
      'allowinvites',
    ]) {
      expect(types[`muc#roomconfig_${name}`], name).toBe('boolean');
    }
    expect(types).not.toHaveProperty('muc#roomconfig_getmemberlist');
    const options = (name: string) =>
      fieldOf(form, name)
        .getChildren('option')
        .map((option) => option.getChildText('value'));
    expect(options('muc#roomconfig_allowpm')).toContain('none');
    expect(options('muc#roomconfig_whois')).toContain('anyone');
    expect(options('muc#roomconfig_presencebroadcast')).toEqual(['moderator', 'participant', 'visitor']);
    expect(rawValues(form).get('muc#roomconfig_maxusers')).toEqual([]);
  });

  it('comes back unchanged as the very same configuration', () => {
    const echoed = formOf(config).with({ type: 'submit' });
    const submitted = readSettings(room, config, echoed);
    expect(submitted.config).toBe(config);
    expect(submitted.admins?.map(String)).toEqual([witch.full]);
    expect(submitted.owners?.map(String)).toEqual([crone.full]);
  });

  it('comes back from clients that leave out the types', () => {
    const fields = formOf(config)
      .getChildren('field')
      .map((one) => one.with({ type: undefined }));
    expect(readSettings(room, config, el('x', NS.dataForms, { type: 'submit' }, ...fields)).config).toBe(config);
  });
});

describe('a filled-in form', () => {
  it('changes only what it names', () => {
    const changed = read(config, field('muc#roomconfig_persistentroom', '1'), field('muc#unknown', 'x'));
    expect(changed).toEqual({ ...config, isPersistent: true });
    const submitted = readSettings(room, config, submission());
    expect(submitted).toEqual({ config, admins: undefined, owners: undefined });
  });

  it.each([
    ['true', true],
    ['1', true],
    ['false', false],
    ['0', false],
  ])('takes %s for a boolean', (text, isPublic) => {
    expect(read({ ...plainConfig, isPublic: !isPublic }, field('muc#roomconfig_publicroom', text)).isPublic).toBe(
      isPublic,
    );
  });

  it.each([
    ['', 0],
    ['none', 0],
    ['0', 0],
    ['30', 30],
  ])('takes "%s" for a number of occupants', (text, number) => {
    expect(read(config, field('muc#roomconfig_maxusers', text)).maxUsers).toBe(number);
  });

  it('counts that of two names for a setting which was changed', () => {
    for (const [one, other] of [
      ['true', 'false'],
      ['false', 'true'],
    ] as const) {
      const fields = [field('muc#roomconfig_allowinvites', one), field(memberInvites, other)];
      expect(read(plainConfig, ...fields).allowInvites).toBe(true);
      expect(read(config, ...fields).allowInvites).toBe(false);
    }
  });

  it('sets a password, and takes it away', () => {
    const secret = field('muc#roomconfig_roomsecret', 'new');
    const asks = (text: string) => field('muc#roomconfig_passwordprotectedroom', text);
    expect(read(plainConfig, secret).password).toBe('new');
    expect(read(plainConfig, asks('1'), secret).password).toBe('new');
    expect(read(config, asks('1')).password).toBe('cauldronburn');
    expect(read(config, asks('0'), secret).password).toBe('');
    expect(read(config, field('muc#roomconfig_roomsecret', '')).password).toBe('');
  });

  it('keeps what is sent by default within what is sent at most', () => {
    expect(read(plainConfig, field('muc#maxhistoryfetch', '5'))).toMatchObject({ maxHistory: 5, defaultHistory: 5 });
  });

  it.each([
    ['muc#roomconfig_publicroom', 'maybe', 'List the room publicly'],
    ['muc#roomconfig_whois', 'nobody', 'Who may see real addresses'],
    ['muc#roomconfig_maxusers', 'many', 'How many'],
    ['muc#roomconfig_maxusers', '-1', 'How many'],
    ['muc#roomconfig_allowpm', 'friends', 'private messages'],
    ['muc#roomconfig_presencebroadcast', 'owner', 'presence'],
    ['muc#roomconfig_roomname', 'x'.repeat(256), 'Name'],
    ['muc#roomconfig_lang', 'English, please', 'Language'],
    ['muc#roomconfig_roomadmins', '@', 'Administrators'],
    ['muc#maxhistoryfetch', '1e9', 'Past messages'],
  ])('is refused for %s of %s', (name, text, label) => {
    const error = refusal(() => read(config, field(name, text)));
    expect(error.condition).toBe('not-acceptable');
    expect(error.text).toContain(label);
  });

  it('is refused where a password is to be asked for and there is none', () => {
    const asks = field('muc#roomconfig_passwordprotectedroom', '1');
    expect(refusal(() => read(plainConfig, asks)).condition).toBe('not-acceptable');
    const blank = field('muc#roomconfig_roomsecret', '');
    expect(refusal(() => read(config, asks, blank)).text).toContain('Password');
  });

  it('is refused where it is another form', () => {
    const other = el('x', NS.dataForms, { type: 'submit' }, field('FORM_TYPE', NS.mucRegister));
    expect(refusal(() => readSettings(room, config, other)).condition).toBe('bad-request');
  });
});

describe('a field that a module adds', () => {
  const quiet: ExtraField<boolean> = { name: '{test}quiet', field: booleanField('Quiet'), fallback: true };

  it('has its fallback until somebody chooses', () => {
    expect(chosen(plainConfig, quiet)).toBe(true);
    const form = findForm(settingsForm(room, settings, [quiet]))!;
    expect(rawValues(form).get(quiet.name)).toEqual(['1']);
    expect(readSettings(room, plainConfig, form.with({ type: 'submit' }), [quiet]).config).toBe(plainConfig);
  });

  it('is chosen, and stays chosen', () => {
    const quieted = readSettings(room, plainConfig, submission(field(quiet.name, '0')), [quiet]).config;
    expect(chosen(quieted, quiet)).toBe(false);
    const moderated = readSettings(
      room,
      JSON.parse(JSON.stringify(quieted)),
      submission(field('muc#roomconfig_moderatedroom', '1')),
      [quiet],
    ).config;
    expect(moderated.isModerated).toBe(true);
    expect(chosen(moderated, quiet)).toBe(false);
  });
});
