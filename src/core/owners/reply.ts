// How a request to an owner ended, as it goes over the wire.
import type { NodeId } from '../../cluster/cluster.ts';
import { StorageUnavailable, UnstorableValue } from '../../storage/errors.ts';
import { parseElement } from '../../xml/document.ts';
import { type ErrorType, isCondition, StanzaError } from '../../xmpp/errors.ts';

export type Reply =
  | { readonly is: 'done'; readonly answer?: unknown }
  | { readonly is: 'refused'; readonly error: Refusal }
  /** Nothing was done: another node is to be asked, or whoever it is now. */
  | { readonly is: 'elsewhere'; readonly node?: NodeId }
  /** The owner has lost the thing over it. */
  | { readonly is: 'lost' };

interface Refusal {
  readonly condition: string;
  readonly type: ErrorType;
  readonly text?: string | undefined;
  readonly content?: string | undefined;
  readonly extra?: string | undefined;
  readonly by?: string | undefined;
  readonly beside?: string | undefined;
  readonly code?: number | undefined;
}

export const elsewhere: Reply = { is: 'elsewhere' };
export const lost: Reply = { is: 'lost' };

export const tooMuch = (): StanzaError => new StanzaError('resource-constraint', 'too much waits', { type: 'wait' });
export const tooLate = (): StanzaError =>
  new StanzaError('remote-server-timeout', 'it was not done in time', { type: 'wait' });
export const unknown = (): StanzaError =>
  new StanzaError('remote-server-timeout', 'nobody knows whether it was done', { type: 'wait' });

/** The error that askers are told; undefined for one that only this program is to blame for. */
export function refusalOf(error: unknown): StanzaError | undefined {
  if (error instanceof StanzaError) return error;
  if (error instanceof StorageUnavailable) return new StanzaError('resource-constraint', undefined, { type: 'wait' });
  if (error instanceof UnstorableValue) return new StanzaError('bad-request', 'nothing of that kind can be stored');
  return undefined;
}

export function refused({ condition, type, text, content, extra, beside, by, code }: StanzaError): Reply {
  const error: Refusal = { condition, type, text, content, extra: extra?.toXml(), beside: beside?.toXml(), by, code };
  return { is: 'refused', error };
}

export function errorOf({ condition, type, text, content, extra, beside, by, code }: Refusal): StanzaError {
  return new StanzaError(isCondition(condition) ? condition : 'undefined-condition', text, {
    type,
    ...(content !== undefined && { content }),
    ...(extra !== undefined && { extra: parseElement(extra) }),
    ...(by !== undefined && { by }),
    ...(beside !== undefined && { beside: parseElement(beside) }),
    ...(code !== undefined && { code }),
  });
}
