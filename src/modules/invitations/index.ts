// XEP-0401: Ad-hoc Account Invitation Generation; XEP-0379: Pre-Authenticated Roster Subscription; XEP-0445: Pre-Authenticated In-Band
// Registration. What an invitation is: invitation.ts; how it is stored and used up: book.ts, redeem.ts; subscriptions: subscription.ts; the
// commands: by-form.ts; the page: page.ts. The registration itself is modules/register.
//
// - XEP-0401 4.1 MAY: invitations expire always, since XEP-0379 6.2 wants that.
// - XEP-0379 3.1: tokens that clients make themselves are none of ours; requests with them reach the client as they are.
// - XEP-0379 6.4, display names: links carry no `name`, and contacts are added without one.
// - XEP-0445 4: what a client has presented holds for its stream, and is forgotten when the settings of the module change.
import type { MaybePromise } from '../../base/maybe.ts';
import {
  accountRegistering,
  accountRemoving,
  type ClientStream,
  presenceIn,
  streamFeatures,
  streamIq,
} from '../../core/events.ts';
import { counter } from '../../core/metrics.ts';
import { defineModule, type IqRequest, on, provide } from '../../core/module.ts';
import { answerOnStream } from '../../core/stream-iq.ts';
import { el } from '../../xml/element.ts';
import { StanzaError } from '../../xmpp/errors.ts';
import { Jid } from '../../xmpp/jid.ts';
import { NS } from '../../xmpp/ns.ts';
import { subscribing } from '../presence/index.ts';
import { roster as rosterService } from '../roster/index.ts';
import { webSignIn } from '../web-chat/hand-over.ts';
import { workspaces } from '../workspace.ts';
import { Allowance, GUESSES, PAGES } from './allowance.ts';
import { InvitationBook } from './book.ts';
import { invitationCommands } from './by-form.ts';
import { makesAccount, pathOf } from './invitation.ts';
import type { Site } from './page.ts';
import { Redeemer } from './redeem.ts';
import { joinRoutes } from './routes.ts';
import { InvitationRefusal, type Invitations, invitations } from './service.ts';
import { settings } from './settings.ts';
import { stores } from './stores.ts';
import { takePreauth } from './subscription.ts';

/** How often it is looked for what died with a node, and for what can be forgotten. Milliseconds. */
const SWEEP = 10 * 60_000;

export default defineModule({
  xeps: ['XEP-0401 0.6.0', 'XEP-0379 0.3.3', 'XEP-0445 0.2.0'],
  summary: 'Invitations: links by which people make accounts, become contacts, and choose new passwords',
  needs: [rosterService, subscribing],
  provides: [invitations],
  config: settings,
  stores,
  metrics: {
    created: counter('Invitations made'),
    redeemed: counter('Invitations used'),
  },

  setup({ host, config, stores: opened, metrics, cluster, clock, log, web, use, find, every }) {
    const roster = use(rosterService);
    const befriending = use(subscribing);
    const guesses = new Allowance(GUESSES, clock);
    const pages = new Allowance(PAGES, clock);
    const presented = new WeakMap<ClientStream, string>();
    const book = new InvitationBook({
      domain: host.domain,
      stores: opened,
      clock,
      exists: (user) => host.accounts.exists(user),
      page: (token) => web.url(pathOf(token)),
      ttl: config.ttl,
      perAccount: config['per-account'],
    });
    const redeemer = new Redeemer({
      host,
      book,
      arrivals: opened.arrivals,
      subscribing: befriending,
      passwordLength: config['password-length'],
      now: () => clock.now(),
    });
    const hasAccounts = host.settings.authentication === 'accounts';
    const makesAccounts = (): boolean => hasAccounts && host.settings.registration !== 'closed';

    const service: Invitations = {
      async create(wanted) {
        if (!hasAccounts) throw new InvitationRefusal('not-allowed', 'Nobody has an account here');
        const made = await book.create(wanted);
        metrics.created.inc();
        log.info({ kind: made.kind, inviter: wanted.inviter, uses: made.uses }, 'invitation made');
        return made;
      },
      list: () => book.list(),
      show: (token) => book.show(token),
      revoke: (token) => book.revoke(token),
      open: async (token, lateness) => book.told(token, await redeemer.open(token, lateness)),
      async redeem(how) {
        const done = await redeemer.redeem(how);
        metrics.redeemed.inc();
        log.info({ user: done.user, isNew: done.isNew }, 'invitation used');
        return done;
      },
      presentedOn: (stream) => presented.get(stream),
    };

    /** XEP-0445 4: looked at now, and not counted as used. */
    async function present(stream: ClientStream, token: string): Promise<void> {
      if (guesses.isSpent(stream.address))
        throw new StanzaError('resource-constraint', 'Too many tokens that are none');
      try {
        const row = await redeemer.open(token);
        if (row.kind !== 'reset' && !makesAccount(row)) throw new InvitationRefusal('unknown', 'It makes no account');
        presented.set(stream, token);
      } catch (error) {
        if (!(error instanceof InvitationRefusal)) throw error;
        if (error.problem === 'unknown') guesses.take(stream.address);
        throw new StanzaError('item-not-found', 'The provided token is invalid or expired');
      }
    }

    async function sweep(): Promise<void> {
      if (cluster.owner(`invitations ${host.domain}`) !== cluster.self) return;
      for (const [token, stale] of await book.sweep()) await redeemer.recover(token, stale);
    }
    every(SWEEP, 'looking after invitations', sweep);

    const isOurs = ({ session }: IqRequest): boolean => session?.host === host && hasAccounts;

    const site = async (): Promise<Site> => ({
      domain: host.domain,
      place: (await find(workspaces)?.identity())?.name ?? host.domain,
      passwordLength: config['password-length'],
      chat: find(webSignIn) === undefined ? undefined : '../chat',
    });
    const mayLook = (address: string): boolean => {
      if (guesses.isSpent(address)) return false;
      if (!host.settings.limits.enabled) return true;
      if (pages.isSpent(address)) return false;
      pages.take(address);
      return true;
    };
    const missed = (address: string): void => guesses.take(address);
    const signIn = async (user: string, password: string): Promise<string | undefined> =>
      find(webSignIn)?.ticket(user, password);

    const isReserved = (user: string): boolean => {
      const jid = Jid.prepare(user, host.domain);
      return jid !== undefined && host.settings.admins.includes(jid.bare);
    };
    const mayInvite = ({ iq }: IqRequest): MaybePromise<boolean> => host.may(iq.from, 'invite');

    return {
      commands: invitationCommands({ invitations: service, isOurs, mayInvite, makesAccounts, isReserved }),
      routes: hasAccounts
        ? joinRoutes({
            domain: host.domain,
            invitations: service,
            mayLook,
            missed,
            site,
            signIn,
            url: (path) => web.url(path),
          })
        : [],
      handlers: [
        provide(invitations, service),
        on(streamFeatures, ({ stream, features }) => {
          if (stream.user === undefined && makesAccounts()) features.push(el('register', NS.registerToken));
        }),
        on(streamIq, { phase: 'handle' }, async ({ stream, iq }) => {
          const preauth = iq.getChild('preauth', NS.pars);
          if (preauth === undefined || iq.attrs.type !== 'set') return undefined;
          await answerOnStream({ stream, iq, host }, () => present(stream, preauth.attrs.token ?? ''));
          return 'handled';
        }),
        on(presenceIn, { phase: 'check', after: ['blocking'] }, (transit) =>
          // most presence is none of that
          transit.stanza.type === 'subscribe'
            ? takePreauth(
                {
                  book,
                  roster,
                  subscribing: befriending,
                  isOurs: (jid) => jid.domain === host.domain,
                  mayInvite: (user) => redeemer.mayInvite(user),
                },
                transit,
              )
            : undefined,
        ),
        on(accountRegistering, { phase: 'check' }, async ({ user, invitation }) =>
          (await book.isKept(user, invitation))
            ? new StanzaError('conflict', 'This name is kept for somebody')
            : undefined,
        ),
        on(accountRemoving, ({ user }) => book.revokeAll(user)),
      ],
    };
  },
});
