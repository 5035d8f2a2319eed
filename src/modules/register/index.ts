// XEP-0077: In-Band Registration. Accounts made before login where the host is open to all, or by whoever has presented an invitation
// (XEP-0445); passwords changed and accounts removed by their owners. Where that is wanted, strangers fill in a form with a challenge first
// (XEP-0158, captcha.ts).
import { z } from 'zod';
import { AccountError } from '../../auth/accounts.ts';
import { networkOf } from '../../auth/throttle.ts';
import { LruCache } from '../../base/lru.ts';
import { TokenBucket } from '../../base/token-bucket.ts';
import { addresses } from '../../config/schema.ts';
import { accountRegistering, type ClientStream, streamFeatures, streamIq } from '../../core/events.ts';
import type { Host } from '../../core/host.ts';
import { counter } from '../../core/metrics.ts';
import { defineModule, type IqRequest, iqGet, iqSet, on } from '../../core/module.ts';
import { answerOnStream } from '../../core/stream-iq.ts';
import { type Element, el } from '../../xml/element.ts';
import { type Condition, StanzaError } from '../../xmpp/errors.ts';
import { Jid, prepareLocal } from '../../xmpp/jid.ts';
import { NS } from '../../xmpp/ns.ts';
import { stanzaErrorFor } from '../invitations/by-form.ts';
import { InvitationRefusal, type Invitations, invitations } from '../invitations/service.ts';
import { type Challenge, checkChallenge, type FilledIn, makeChallenge } from './captcha.ts';

const HOUR = 3_600_000;
const REMEMBERED_ADDRESSES = 10_000;
/** So much of an account a wrong answer to a challenge counts. */
const WRONG = 0.2;

/** What nodes tell one another: somebody has registered. */
const registeredTopic = 'register.registered';
interface Registered {
  readonly domain: string;
  readonly network: string;
}

export default defineModule({
  xeps: ['XEP-0077 2.4', 'XEP-0158 1.0.1'],
  summary: 'Registration from a client, password change, removal of the account',
  config: z.strictObject({
    'per-hour': z.number().positive().default(20).describe('Accounts that one network address may make in an hour'),
    unlimited: addresses()
      .default(['127.0.0.1', '::1'])
      .describe('Addresses that this does not count for: whoever is on the machine itself is no crowd of strangers'),
    captcha: z
      .boolean()
      .default(false)
      .describe(
        'Whether strangers meet a challenge before they register where registration is `open`: letters in a picture, a question, or work for their machine',
      ),
    'captcha-bits': z
      .int()
      .min(8)
      .max(32)
      .default(20)
      .describe('How much work that is: each further bit takes a machine twice as long; 20 are some seconds'),
    'password-change': z.boolean().default(true).describe('Whether people may change their passwords from a client'),
    removal: z.boolean().default(true).describe('Whether people may remove their accounts from a client'),
  }),
  metrics: {
    registered: counter('Accounts registered from a client'),
    removed: counter('Accounts removed from a client'),
  },

  setup({ host, config, metrics, cluster, clock, log, find, background }) {
    const unlimited = new Set(config.unlimited.map(networkOf));
    const buckets = new LruCache<string, TokenBucket>(REMEMBERED_ADDRESSES);

    const bucketOf = (network: string): TokenBucket => {
      let bucket = buckets.get(network);
      if (bucket === undefined) {
        bucket = new TokenBucket({ rate: (config['per-hour'] * 1000) / HOUR, burst: config['per-hour'] }, clock.now());
        buckets.set(network, bucket);
      }
      return bucket;
    };

    /** Too many from one address is refused, not delayed: nobody has a stream to lose yet. The other nodes count it, too. */
    const checkRate = (address: string): void => {
      const network = networkOf(address);
      if (!host.settings.limits.enabled || unlimited.has(network)) return;
      if (!bucketOf(network).tryTake(1, clock.now())) {
        throw new StanzaError('resource-constraint', 'Too many registrations from your network; try again later');
      }
      cluster.publish(registeredTopic, { domain: host.domain, network } satisfies Registered);
    };
    const unsubscribe = cluster.subscribe(registeredTopic, (body) => {
      const { domain, network } = body as Registered;
      if (domain === host.domain) bucketOf(network).take(1, clock.now());
    });

    const invited = (): Invitations | undefined => find(invitations);
    /** Whether anybody can register: XEP-0445 3 wants that told together with its own feature. */
    const isOffered = (): boolean => isOpen(host) || (takesInvited(host) && invited() !== undefined);

    /** What clients were given, and have not used yet. */
    const challenges = new WeakMap<ClientStream, Challenge>();
    const challenged = (stream: ClientStream, sid: string | undefined): Element => {
      const { children, challenge } = makeChallenge(host.domain, sid, config['captcha-bits'], clock.now());
      challenges.set(stream, challenge);
      return el('query', NS.register, undefined, ...children);
    };
    /** XEP-0158 4. Who has guessed wrong may try again, though not without end. */
    const met = (query: Element, stream: ClientStream): FilledIn => {
      const challenge = challenges.get(stream);
      challenges.delete(stream);
      try {
        return checkChallenge(query, challenge, host.domain, clock.now());
      } catch (error) {
        // (nothing is owed: others come from the same network)
        if (challenge !== undefined) bucketOf(networkOf(stream.address)).tryTake(WRONG, clock.now());
        throw error;
      }
    };

    const register = async (query: Element, stream: ClientStream): Promise<void> => {
      const { username, password } = config.captcha
        ? needed(met(query, stream), 'not-acceptable')
        : credentialsOf(query, 'not-acceptable');
      const name = prepareLocal(username);
      if (name === undefined) throw new StanzaError('not-acceptable', 'This cannot be the name of an account');
      const refused = isReserved(host, name)
        ? new StanzaError('conflict', 'This name is reserved')
        : await host.gate(accountRegistering, { user: name });
      if (refused instanceof StanzaError) throw refused;
      checkRate(stream.address);
      await explained(() => host.accounts.create(name, password));
      metrics.registered.inc();
      log.info({ user: name, address: stream.address }, 'account registered');
    };

    /** XEP-0445 4: with an invitation, of which the name may be a part. */
    const registerInvited = async (query: Element, token: string): Promise<void> => {
      const { username, password } = credentialsOf(query, 'not-acceptable');
      // (it has not been forgotten meanwhile: that is looked at in the same turn)
      const redeemed = invited()!.redeem({ token, user: username, password, lateness: Number.POSITIVE_INFINITY });
      const { user, isNew } = await redeemed.catch((error: unknown) => {
        throw error instanceof InvitationRefusal ? stanzaErrorFor(error) : error;
      });
      if (isNew) metrics.registered.inc();
      log.info({ user, isNew }, 'registered by invitation');
    };

    /** XEP-0077 3.1, before login. */
    const answerStream = async (iq: Element, stream: ClientStream): Promise<Element | undefined> => {
      const query = iq.getChild('query', NS.register);
      if (query === undefined) throw new StanzaError('not-authorized');
      const token = invited()?.presentedOn(stream);
      // 3.1 MUST: for those who have no invitation there is the form where others have one, and an error where nobody registers
      if (token === undefined && !isOffered())
        throw new StanzaError('service-unavailable', 'Registration is closed here');
      if (iq.attrs.type === 'get') {
        if (token === undefined && isOpen(host) && config.captcha) return challenged(stream, iq.attrs.id);
        const hint = token === undefined && !isOpen(host) ? 'You need an invitation to register here. ' : '';
        return form(hint, token === undefined ? undefined : (await invited()?.show(token))?.user);
      }
      if (iq.attrs.type !== 'set') throw new StanzaError('bad-request');
      // 3.2: whoever is not logged in has nothing to remove
      if (query.getChild('remove') !== undefined) throw new StanzaError('unexpected-request');
      if (token === undefined && !isOpen(host)) throw new StanzaError('not-allowed', 'You need an invitation');
      if (token === undefined) await register(query, stream);
      else await registerInvited(query, token);
      return undefined;
    };

    const remove = async (request: IqRequest, user: string): Promise<undefined> => {
      if (request.payload.elements().length !== 1) throw new StanzaError('bad-request', '<remove/> stands alone');
      if (!config.removal) throw new StanzaError('not-allowed');
      await host.accounts.condemn(user);
      // the answer goes out first: the removal ends the stream that it goes out on
      request.afterReply(() => background(finishRemoval(user), 'removal of an account'));
    };

    async function finishRemoval(user: string): Promise<void> {
      await host.accounts.remove(user);
      metrics.removed.inc();
      log.info({ user }, 'account removed by its owner');
    }

    /** XEP-0077 3.3. */
    const changePassword = async ({ payload, session }: IqRequest, user: string): Promise<undefined> => {
      const { username, password } = credentialsOf(payload, 'bad-request');
      const named = username.includes('@') ? Jid.parse(username)?.bare : Jid.prepare(username, host.domain)?.bare;
      if (named !== Jid.of(user, host.domain).bare)
        throw new StanzaError('not-allowed', 'You can only change your own password');
      if (!config['password-change']) throw new StanzaError('not-allowed');
      await explained(() => host.accounts.setPassword(user, password, session?.sid));
      log.info({ user }, 'password changed');
    };

    return {
      features: { server: isOpen(host) ? [NS.register] : [] },
      handlers: [
        on(streamFeatures, ({ stream, features }) => {
          if (stream.user === undefined && isOffered()) features.push(el('register', NS.registerFeature));
        }),
        on(streamIq, { phase: 'handle' }, async ({ stream, iq }) => {
          if (iq.getChild('query', NS.register) === undefined) return undefined;
          await answerOnStream({ stream, iq, host }, () => answerStream(iq, stream));
          return 'handled';
        }),
        iqGet(['self', 'host'], NS.register, 'query', (request) => {
          const user = ownerOf(request, host);
          return el(
            'query',
            NS.register,
            undefined,
            el('registered', NS.register),
            field('username', user),
            field('password'),
          );
        }),
        iqSet(['self', 'host'], NS.register, 'query', (request) => {
          const user = ownerOf(request, host);
          return request.payload.getChild('remove') === undefined
            ? changePassword(request, user)
            : remove(request, user);
        }),
      ],
      stop: unsubscribe,
    };
  },
});

const isOpen = (host: Host): boolean =>
  host.settings.registration === 'open' && host.settings.authentication === 'accounts';

const takesInvited = (host: Host): boolean =>
  host.settings.registration !== 'closed' && host.settings.authentication === 'accounts';

/** An administrator's name must not go to whoever comes first. */
const isReserved = (host: Host, name: string): boolean => host.settings.admins.includes(Jid.of(name, host.domain).bare);

/** The account that asks: one of ours, over a stream of its own or by a token. */
function ownerOf({ session, iq, transit: { origin } }: IqRequest, host: Host): string {
  const isByToken = origin.kind === 'account' && origin.by === host.domain;
  if (!isByToken && session?.host !== host) throw new StanzaError('registration-required');
  if (host.settings.authentication !== 'accounts') throw new StanzaError('not-allowed', 'Guests have no account');
  return iq.from.local;
}

function credentialsOf(query: Element, otherwise: Condition): FilledIn {
  const given = { username: query.getChildText('username') ?? '', password: query.getChildText('password') ?? '' };
  return needed(given, otherwise);
}

/** @throws StanzaError where something is missing */
function needed(given: FilledIn, otherwise: Condition): FilledIn {
  if (given.username !== '' && given.password !== '') return given;
  throw new StanzaError(otherwise, 'A name and a password are needed');
}

const field = (name: string, value = ''): Element => el(name, NS.register, undefined, ...(value === '' ? [] : [value]));

/**
 * @param hint what whoever asks has to know first
 * @param user the name that is kept for whoever asks
 */
function form(hint: string, user: string | undefined): Element {
  const what = user === undefined ? 'Choose a name and a password.' : 'Choose a password.';
  const instructions = el('instructions', NS.register, undefined, hint + what);
  return el('query', NS.register, undefined, instructions, field('username', user), field('password'));
}

async function explained<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof AccountError)) throw error;
    throw new StanzaError(error.problem === 'conflict' ? 'conflict' : 'not-acceptable', error.message);
  }
}
