// What a subscriber decides about a subscription (XEP-0060 6.3, 16.4.2).
//
// - Left out: `digest` and `digest_frequency`; `include_body` (12.8 forbids to offer it where nobody can make a text of a payload);
//   `show-values` (what people show of themselves is not shared among the nodes of a cluster); `subscription_type` and `subscription_depth`
//   (XEP-0248).
import type { Element } from '../../xml/element.ts';
import {
  booleanField,
  type Field,
  type Form,
  formElement,
  readForm,
  resultElement,
  textField,
} from '../../xmpp/dataform.ts';
import { formatDateTime, parseDateTime } from '../../xmpp/datetime.ts';
import { StanzaError } from '../../xmpp/errors.ts';
import { NS } from '../../xmpp/ns.ts';
import { isSame } from './config.ts';
import { pubsubError } from './errors.ts';

export interface SubscriptionOptions {
  /** Whether anything is sent. */
  readonly deliver: boolean;
  /** When it ends: in milliseconds since 1970, or when the subscriber goes offline; never where undefined. */
  readonly expire: number | 'presence' | undefined;
}

export const plainOptions: SubscriptionOptions = { deliver: true, expire: undefined };

const expireField: Field<number | 'presence'> = {
  ...(textField('When it ends: a date and time, or "presence" for when you go offline') as Field<never>),
  encode: (value) => [value === 'presence' ? value : formatDateTime(value)],
  decode: ([text, ...more]) => {
    if (text === undefined || more.length > 0) return undefined;
    return text === 'presence' ? text : parseDateTime(text);
  },
};

const fields = {
  'pubsub#deliver': booleanField('Receive notifications'),
  'pubsub#expire': expireField,
};
const form: Form<typeof fields> = { formType: NS.pubsubSubscribeOptions, fields };

/** The form, or what was chosen (`result`). */
export function optionsElement(options: SubscriptionOptions, kind: 'form' | 'result'): Element {
  const values = {
    'pubsub#deliver': options.deliver,
    ...(options.expire !== undefined && { 'pubsub#expire': options.expire }),
  };
  return kind === 'form' ? formElement(form, values) : resultElement(form, values);
}

/**
 * Reads a form that was filled in; what it leaves out stays as it was.
 * @throws StanzaError `bad-request` with `invalid-options` for what cannot be (6.3.7.2)
 */
export function readOptions(x: Element, before: SubscriptionOptions): SubscriptionOptions {
  try {
    const values = readForm(form, x);
    const named = new Set(x.getChildren('field').map(({ attrs }) => attrs.var));
    const expire = values['pubsub#expire'];
    return {
      deliver: values['pubsub#deliver'] ?? before.deliver,
      // an empty field takes back what was said
      expire: named.has('pubsub#expire') ? expire : before.expire,
    };
  } catch (error) {
    throw error instanceof StanzaError ? pubsubError('invalid-options', error.text) : error;
  }
}

/** What of them is stored. */
export function optionDifferences(options: SubscriptionOptions): Partial<SubscriptionOptions> | undefined {
  const entries = Object.entries(options) as [keyof SubscriptionOptions, unknown][];
  const changed = entries.filter(([name, value]) => !isSame(value, plainOptions[name]));
  return changed.length === 0 ? undefined : (Object.fromEntries(changed) as Partial<SubscriptionOptions>);
}
