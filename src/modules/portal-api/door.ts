// Who asks: by an access token of an account here (modules/oauth).
import { bearerOf, domainOfToken } from '../../auth/tokens.ts';
import type { Logger } from '../../base/log.ts';
import type { AdminContext } from '../../core/commands.ts';
import type { Host } from '../../core/host.ts';
import { shownPath, WebRefusal, type WebReply, type WebRequest } from '../../core/web.ts';
import type { AccessTokens, Bearer } from '../oauth/service.ts';
import { ApiError, apiErrorOf, json, renderApiError } from './errors.ts';

export interface DoorParts {
  readonly host: Host;
  readonly tokens: AccessTokens;
  readonly admin: AdminContext;
  readonly log: Logger;
}

type Work = (request: WebRequest, bearer: Bearer) => Promise<WebReply>;
type Handle = (request: WebRequest) => Promise<WebReply | undefined>;

const challenge = (error: string): Readonly<Record<string, string>> => ({
  'www-authenticate': `Bearer realm="parley"${error}`,
});

export class WebDoor {
  private readonly parts: DoorParts;

  constructor(parts: DoorParts) {
    this.parts = parts;
  }

  /** For whoever has a token that speaks for an account. */
  forPeople(work: Work): Handle {
    return this.guarded(({ speaks }) => speaks, work);
  }

  /** For administrators of the host. */
  forAdmins(work: Work): Handle {
    return this.guarded(({ administers }) => administers, work);
  }

  /** For everybody. */
  open(work: (request: WebRequest) => Promise<WebReply>): Handle {
    return async (request) => {
      try {
        checkConfidential(request);
        return await work(request);
      } catch (error) {
        return this.refusal(request, error);
      }
    };
  }

  private guarded(may: (bearer: Bearer) => boolean, work: Work): Handle {
    return async (request) => {
      try {
        checkConfidential(request);
        const token = bearerOf(request.headers.authorization);
        if (token === undefined) throw new WebRefusal(401, 'a token is needed', challenge(''));
        const domain = domainOfToken(token);
        // the host that it is of is asked next
        if (domain !== undefined && domain !== this.parts.host.domain && this.parts.admin.hosts.includes(domain))
          return undefined;
        const bearer = await this.parts.tokens.find(token);
        if (bearer === undefined)
          throw new WebRefusal(401, 'the token is none, or none any more', challenge(', error="invalid_token"'));
        if (!may(bearer)) return notForYou();
        return await work(request, bearer);
      } catch (error) {
        return this.refusal(request, error);
      }
    };
  }

  private refusal(request: WebRequest, error: unknown): WebReply {
    if (error instanceof WebRefusal) throw error;
    const known = apiErrorOf(error);
    if (known === undefined) this.parts.log.error({ err: error, path: shownPath(request.path) }, 'a request failed');
    return renderApiError(known ?? new ApiError('internal-server-error', 'Something went wrong here'));
  }
}

/** Without the condition that other refusals have: the portal takes one with it for a failure of its own. */
const notForYou = (): WebReply => json(403, { type: 'error', code: 403, text: 'You may not do this' });

function checkConfidential({ peer }: WebRequest): void {
  if (!peer.isConfidential) throw new WebRefusal(403, 'nothing of this is sent in the clear: use https');
}
