// The owner's form of a node (XEP-0060 8.2, 16.4.4): what of a configuration it shows, what a filled-in one makes of it, and whether what a
// publisher expects is so (7.1.5).
//
// - Left out: `body_xslt` and `dataform_xslt`; of `itemreply` the value `owner` (12.17: not to be relied on).
// - `purge_offline` and `node_type` are there for those who ask for what they are in any case.
import type { Element } from '../../xml/element.ts';
import {
  booleanField,
  choiceField,
  type Field,
  type Form,
  formElement,
  integerField,
  jidsField,
  rawValues,
  readForm,
  resultElement,
  textField,
} from '../../xmpp/dataform.ts';
import { StanzaError } from '../../xmpp/errors.ts';
import { NS } from '../../xmpp/ns.ts';
import { accessModels, isSame, type NodeConfig } from './config.ts';
import { pubsubError } from './errors.ts';
import type { Policy } from './ports.ts';

/** A field that a module adds to the form. What is chosen is in `config.more` by its name, and read by {@link chosen}. */
export interface ExtraField<T> {
  readonly name: string;
  readonly field: Field<T>;
  /** The value where nobody has chosen one. */
  readonly fallback: T;
}

/** What an owner has chosen for a field that a module added. */
export function chosen<T>({ more = {} }: Pick<NodeConfig, 'more'>, { name, field, fallback }: ExtraField<T>): T {
  const values = more[name];
  return (values && field.decode(values)) ?? fallback;
}

const MAX_LINE = 1023;
const MAX_TEXT = 4096;
const MAX_GROUPS = 100;

type Limits = Pick<Policy, 'mostItems' | 'mostPayload'>;

/** One line of text of so many characters at most. */
function line(label: string, most = MAX_LINE): Field<string> {
  const field = textField(label);
  return {
    ...field,
    decode(values) {
      const text = field.decode(values);
      return text === undefined || text.length > most ? undefined : text;
    },
  };
}

/** Any texts. */
function texts(label: string): Field<readonly string[]> {
  return {
    ...(textField(label) as Field<never>),
    type: 'text-multi',
    encode: (value) => value,
    decode: (values) =>
      values.length > MAX_GROUPS || values.some(({ length }) => length > MAX_LINE) ? undefined : [...new Set(values)],
  };
}

/** Addresses, of which the text is kept. */
function addresses(label: string): Field<readonly string[]> {
  const field = jidsField(label);
  return {
    ...(field as Field<never>),
    encode: (value) => value,
    decode: (values) => (values.length > MAX_GROUPS ? undefined : field.decode(values)?.map(({ full }) => full)),
  };
}

/** 12.23: a number, or `max`. A number is no more than what `max` stands for. */
function numberOrMax(label: string, most: number, min: number): Field<number | 'max'> {
  const field = integerField(label, { min, max: most });
  return {
    ...(field as Field<never>),
    encode: (value) => [String(value)],
    decode: (values) => (values.length === 1 && values[0] === 'max' ? 'max' : field.decode(values)),
  };
}

const access: Readonly<Record<NodeConfig['accessModel'], string>> = {
  open: 'Anybody',
  presence: 'Who may see the presence of an owner',
  roster: 'Who is in certain groups of contacts of an owner',
  authorize: 'Whom an owner has approved',
  whitelist: 'Members',
};

const fieldsOf = ({ mostItems, mostPayload }: Limits) => ({
  'pubsub#title': line('Title'),
  'pubsub#description': line('Description', MAX_TEXT),
  'pubsub#type': line('What the items are about, usually a namespace'),
  'pubsub#language': line('Language'),
  'pubsub#contact': addresses('Whom to ask'),
  'pubsub#access_model': choiceField('Who may subscribe and read', access),
  'pubsub#roster_groups_allowed': texts('Groups of contacts who may subscribe and read'),
  'pubsub#publish_model': choiceField('Who may publish', {
    publishers: 'Publishers',
    subscribers: 'Publishers and subscribers',
    open: 'Anybody',
  }),
  'pubsub#persist_items': booleanField('Keep items'),
  'pubsub#max_items': numberOrMax('How many items to keep; "max" for as many as may be', mostItems, 1),
  'pubsub#item_expire': numberOrMax('Seconds to keep an item; "max" for good', 4_000_000_000, 1),
  'pubsub#publish_node_full': choiceField('When an item is published and there are as many as may be', {
    'retract-oldest': 'Take back the oldest',
    'discard-oldest': 'Remove the oldest',
    reject: 'Refuse the new one',
  }),
  'pubsub#max_payload_size': integerField('Bytes of a payload, at most', { min: 0, max: mostPayload }),
  'pubsub#subscribe': booleanField('People may subscribe'),
  'pubsub#deliver_notifications': booleanField('Notify subscribers'),
  'pubsub#deliver_payloads': booleanField('Notifications bring the payload'),
  'pubsub#notify_config': booleanField('Notify subscribers when the configuration changes'),
  'pubsub#notify_delete': booleanField('Notify subscribers when the node is deleted'),
  'pubsub#notify_retract': booleanField('Notify subscribers when items are removed'),
  'pubsub#notify_sub': booleanField('Notify owners of those who subscribe and unsubscribe'),
  'pubsub#notification_type': choiceField('Type of the messages that notify', {
    normal: 'Normal',
    headline: 'Headline: for those who are online',
  }),
  'pubsub#send_last_published_item': choiceField('When to send the last item', {
    never: 'Never',
    on_sub: 'To new subscribers',
    on_sub_and_presence: 'To new subscribers, and when they come online',
  }),
  'pubsub#presence_based_delivery': booleanField('Notify only those who are online'),
  'pubsub#itemreply': choiceField('Whom to reply to', { none: 'Nobody in particular', publisher: 'The publisher' }),
  'pubsub#tempsub': booleanField('Subscriptions end when subscribers go offline'),
  'pubsub#purge_offline': onlyFalse('Remove items when their publisher goes offline'),
  'pubsub#node_type': choiceField('Type of node', { leaf: 'Items' }),
});

/** What is not offered, for those who do not ask for it. */
function onlyFalse(label: string): Field<boolean> {
  const field = booleanField(label);
  return { ...field, decode: (values) => (field.decode(values) === false ? false : undefined) };
}

/** The property that each field stands for. */
const properties = {
  'pubsub#title': 'title',
  'pubsub#description': 'description',
  'pubsub#type': 'type',
  'pubsub#language': 'language',
  'pubsub#contact': 'contact',
  'pubsub#access_model': 'accessModel',
  'pubsub#roster_groups_allowed': 'rosterGroups',
  'pubsub#publish_model': 'publishModel',
  'pubsub#persist_items': 'isPersistent',
  'pubsub#max_items': 'maxItems',
  'pubsub#item_expire': 'itemExpire',
  'pubsub#publish_node_full': 'whenFull',
  'pubsub#max_payload_size': 'maxPayload',
  'pubsub#subscribe': 'allowsSubscriptions',
  'pubsub#deliver_notifications': 'deliversNotifications',
  'pubsub#deliver_payloads': 'deliversPayloads',
  'pubsub#notify_config': 'notifiesConfig',
  'pubsub#notify_delete': 'notifiesDelete',
  'pubsub#notify_retract': 'notifiesRetract',
  'pubsub#notify_sub': 'notifiesSubscriptions',
  'pubsub#notification_type': 'notificationType',
  'pubsub#send_last_published_item': 'sendLast',
  'pubsub#presence_based_delivery': 'isPresenceBased',
  'pubsub#itemreply': 'itemReply',
  'pubsub#tempsub': 'isTemporary',
} as const satisfies { readonly [K in keyof ReturnType<typeof fieldsOf>]?: keyof NodeConfig };

type Extras = readonly ExtraField<unknown>[];

function formOf(limits: Limits, extras: Extras, formType: string): Form<Record<string, Field<unknown>>> {
  const fields: Record<string, Field<unknown>> = { ...fieldsOf(limits) };
  for (const { name, field } of extras) fields[name] = field;
  return { formType, fields };
}

function valuesOf(config: NodeConfig, extras: Extras): Record<string, unknown> {
  const values: Record<string, unknown> = { 'pubsub#purge_offline': false, 'pubsub#node_type': 'leaf' };
  for (const [name, property] of Object.entries(properties)) values[name] = config[property];
  for (const extra of extras) values[extra.name] = chosen(config, extra);
  return values;
}

/** The form with what holds now, or the same as data (`result`). */
export function configElement(
  config: NodeConfig,
  kind: 'form' | 'result',
  limits: Limits,
  extras: Extras = [],
): Element {
  const form = formOf(limits, extras, NS.pubsubNodeConfig);
  const values = valuesOf(config, extras);
  return kind === 'form' ? formElement(form, values) : resultElement(form, values);
}

/**
 * Reads a filled-in form. What it does not name stays as it was.
 * @returns the very one that was given, where nothing changes
 * @throws StanzaError `not-acceptable` for values that are not allowed, with the field in its text, with `unsupported-access-model` for an
 *   access model that is none; `bad-request` where it is no such form
 */
export function readConfig(x: Element, before: NodeConfig, limits: Limits, extras: Extras = []): NodeConfig {
  const model = rawValues(x).get('pubsub#access_model');
  if (model !== undefined && !isAccessModel(model)) throw pubsubError('unsupported-access-model');
  const answers = readForm(formOf(limits, extras, NS.pubsubNodeConfig), x) as Record<string, unknown>;
  return changed(before, answers, extras);
}

/** 8.1.2. An empty field is for XEP-0004 to ignore. */
function isAccessModel([model, ...more]: readonly string[]): boolean {
  return more.length === 0 && (model === undefined || model === '' || accessModels.some((one) => one === model));
}

function changed(before: NodeConfig, answers: Readonly<Record<string, unknown>>, extras: Extras): NodeConfig {
  const changes: Record<string, unknown> = {};
  for (const [name, property] of Object.entries(properties)) {
    const value = answers[name];
    if (value !== undefined && !isSame(value, before[property])) changes[property] = value;
  }
  const more = { ...before.more };
  for (const { name, field, fallback } of extras) {
    const value = answers[name];
    if (value !== undefined && !isSame(field.encode(value), more[name] ?? field.encode(fallback))) {
      more[name] = field.encode(value);
      changes.more = more;
    }
  }
  return Object.keys(changes).length === 0 ? before : { ...before, ...changes };
}

/**
 * 7.1.5: what a publisher expects of a node, read as what would have to be configured.
 * @throws StanzaError `precondition-not-met` for what this service does not know, or knows to be impossible
 */
export function readPreconditions(x: Element, before: NodeConfig, limits: Limits, extras: Extras = []): NodeConfig {
  const form = formOf(limits, extras, NS.pubsubPublishOptions);
  for (const name of rawValues(x).keys()) {
    if (name !== 'FORM_TYPE' && !Object.hasOwn(form.fields, name)) throw notMet(`"${name}" is not known`);
  }
  let answers: Record<string, unknown>;
  try {
    answers = readForm(form, x) as Record<string, unknown>;
  } catch (error) {
    throw error instanceof StanzaError && error.condition === 'not-acceptable' ? notMet(error.text) : error;
  }
  return changed(before, answers, extras);
}

/**
 * Whether a node is as a publisher expects (7.1.5).
 * @throws StanzaError `precondition-not-met`
 */
export function checkPreconditions(x: Element, config: NodeConfig, limits: Limits, extras: Extras = []): void {
  const wanted = readPreconditions(x, config, limits, extras);
  for (const [name, property] of Object.entries(properties)) {
    const isMet = isSame(counted(wanted, property, limits), counted(config, property, limits));
    if (!isMet) throw notMet(`"${name}" is another`);
  }
  if (!isSame(wanted.more, config.more)) throw notMet('a field has another value');
}

/** As many items as may be are that many. */
function counted(config: NodeConfig, property: keyof NodeConfig, { mostItems }: Limits): unknown {
  return property === 'maxItems' && config.maxItems === 'max' ? mostItems : config[property];
}

function notMet(text: string | undefined): StanzaError {
  return pubsubError('precondition-not-met', text);
}
