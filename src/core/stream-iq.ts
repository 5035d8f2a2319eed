// Requests of clients that are not logged in: there is no session, and so no router that makes answers of errors.
import type { MaybePromise } from '../base/maybe.ts';
import { StorageUnavailable } from '../storage/errors.ts';
import { type Element, el } from '../xml/element.ts';
import { StanzaError } from '../xmpp/errors.ts';
import { errorReply } from '../xmpp/stanza.ts';
import type { ClientStream } from './events.ts';
import type { Host } from './host.ts';

/** A request that `streamIq` tells of. */
export interface StreamRequest {
  readonly stream: ClientStream;
  readonly iq: Element;
  readonly host: Host;
}

/** Answers with what the work returns (nothing: an empty result), or with the error that it throws. */
export async function answerOnStream(
  { stream, iq, host }: StreamRequest,
  work: () => MaybePromise<Element | undefined | void>,
): Promise<void> {
  let payload: Element | undefined | void;
  try {
    payload = await work();
  } catch (error) {
    const known = error instanceof StanzaError ? error : unforeseen(error, host);
    const reply = errorReply(iq, host.domain, host.domain, known)?.with({ to: undefined });
    if (reply !== undefined) stream.send(reply);
    return;
  }
  const children = payload === undefined ? [] : [payload];
  stream.send(el('iq', null, { type: 'result', id: iq.attrs.id, from: host.domain }, ...children));
}

function unforeseen(error: unknown, host: Host): StanzaError {
  if (error instanceof StorageUnavailable)
    return new StanzaError('internal-server-error', error.message, { type: 'wait' });
  host.log.error({ err: error }, 'a request before login failed');
  return new StanzaError('internal-server-error');
}
