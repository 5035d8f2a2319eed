// What is served at `/join/TOKEN`. Looking at an invitation uses nothing: neither browsers that look ahead nor what makes previews of links
// can use it up.
import type { WebReply, WebRequest, WebRoute } from '../../core/web.ts';
import { donePage, invitationPage, problemPage, type Site } from './page.ts';
import { type Invitation, type InvitationProblem, InvitationRefusal, type Invitations } from './service.ts';
import type { PageProblem } from './texts.ts';

export interface RouteParts {
  readonly invitations: Pick<Invitations, 'open' | 'show' | 'redeem'>;
  /** Whether an address may look at one more page. */
  readonly mayLook: (address: string) => boolean;
  /** It came with a token that is none. */
  readonly missed: (address: string) => void;
  readonly site: () => Promise<Site>;
  readonly domain: string;
  /** Where a browser is signed in, as seen from the root; undefined where there is no chat for it. */
  readonly signIn: (user: string, password: string) => Promise<string | undefined>;
  /** The public address of a path; undefined where there is none. */
  readonly url: (path: string) => string | undefined;
}

/** A form that was opened in time may be filled in for so long after the invitation's end. Milliseconds. */
const LATENESS = 30 * 60_000;
/** Of a form; passwords have 1,024 characters at most, each up to twelve bytes as it is sent. */
const MOST_BYTES = 16 * 1024;

export function joinRoutes(parts: RouteParts): WebRoute[] {
  const { invitations, mayLook, missed, site } = parts;

  /** Finds the invitation, and answers for those that cannot be used. */
  async function withInvitation(
    { params, peer }: WebRequest,
    lateness: number,
    work: (token: string, invitation: Invitation) => Promise<WebReply>,
  ): Promise<WebReply> {
    const { token = '' } = params;
    if (!mayLook(peer.address)) return problemPage(await site(), 'too-many');
    try {
      return await work(token, await invitations.open(token, lateness));
    } catch (error) {
      if (!(error instanceof InvitationRefusal)) throw error;
      if (error.problem === 'unknown') missed(peer.address);
      return problemPage(await site(), isPageProblem(error.problem) ? error.problem : 'unknown');
    }
  }

  async function take(request: WebRequest, token: string, invitation: Invitation): Promise<WebReply> {
    if (!request.peer.isConfidential) return problemPage(await site(), 'insecure');
    if (!isFromHere(request)) return problemPage(await site(), 'elsewhere');
    const fields = new URLSearchParams((await request.read(MOST_BYTES)).toString());
    const [given, password] = [(fields.get('user') ?? '').trim(), fields.get('password') ?? ''];
    try {
      const name = invitation.user === undefined ? { user: given } : {};
      const { user } = await invitations.redeem({ token, ...name, password, lateness: LATENESS });
      const chat = await parts.signIn(user, password);
      const location = chat === undefined ? `${token}/done?user=${encodeURIComponent(user)}` : chatFrom(request, chat);
      return { status: 303, headers: { location, 'referrer-policy': 'no-referrer' } };
    } catch (error) {
      if (!(error instanceof InvitationRefusal) || isPageProblem(error.problem)) throw error;
      return invitationPage(await site(), invitation, { user: given, problem: error.problem });
    }
  }

  /** Relative, since the server may be below a path of a proxy; but where the page was opened by another domain's name, that one's chat is there. */
  function chatFrom({ named }: WebRequest, chat: string): string {
    const isElsewhere = named !== undefined && named !== parts.domain;
    return (isElsewhere ? parts.url(chat) : undefined) ?? `..${chat}`;
  }

  return [
    {
      methods: ['GET'],
      path: '/join/:token',
      handle: (request) =>
        withInvitation(request, 0, async (_, invitation) =>
          request.peer.isConfidential
            ? invitationPage(await site(), invitation)
            : problemPage(await site(), 'insecure'),
        ),
    },
    {
      methods: ['POST'],
      path: '/join/:token',
      handle: (request) => withInvitation(request, LATENESS, (token, invitation) => take(request, token, invitation)),
    },
    {
      methods: ['GET'],
      path: '/join/:token/done',
      async handle({ params, query, peer }) {
        if (!mayLook(peer.address)) return problemPage(await site(), 'too-many');
        const invitation = await invitations.show(params.token ?? '');
        const { domain, ...others } = await site();
        const account = `${query.get('user') ?? ''}@${domain}`;
        // it says nothing that is not so
        if (!invitation?.usedBy.includes(account)) return problemPage({ domain, ...others }, 'unknown');
        return donePage(
          { domain, ...others, chat: others.chat && `../${others.chat}` },
          account,
          invitation.kind === 'reset',
        );
      },
    },
  ];
}

const pageProblems: ReadonlySet<string> = new Set<PageProblem>([
  'unknown',
  'expired',
  'used',
  'revoked',
  'busy',
  'not-allowed',
]);
const isPageProblem = (problem: InvitationProblem): problem is InvitationProblem & PageProblem =>
  pageProblems.has(problem);

/**
 * Whether a form comes from a page of ours. Whoever knows the token needs none of them; this keeps other pages from having a visitor of
 * theirs make an account. Without `Referer`, browsers say `Origin: null` for pages of ours too, and `Sec-Fetch-Site` tells.
 */
function isFromHere({ headers, peer }: WebRequest): boolean {
  if (!/^application\/x-www-form-urlencoded\b/i.test(headers['content-type'] ?? '')) return false;
  const site = headers['sec-fetch-site'];
  if (site !== undefined) return site === 'same-origin' || site === 'none';
  const { origin } = headers;
  if (origin === undefined || origin === 'null') return true;
  return URL.canParse(origin) && new URL(origin).host === peer.authority?.toLowerCase();
}
