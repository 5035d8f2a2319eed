// The web client: Converse.js, from npm, where it is installed; set up for the host, and with nothing from anywhere else.
import { z } from 'zod';
import type { Host } from '../../core/host.ts';
import { defineModule, defineService, provide } from '../../core/module.ts';
import { WebRefusal, type WebReply, type WebRequest, type WebRoute } from '../../core/web.ts';
import { map } from '../../storage/specs.ts';
import { invitations } from '../invitations/service.ts';
import { Assets, findClient } from './assets.ts';
import { type HandOver, HandOvers, webSignIn } from './hand-over.ts';
import { chatPage, plainPage } from './page.ts';

/** Where the web client is, for others to tell of. */
export interface WebChat {
  /** Its public address; undefined where nothing listens for it. */
  address(): string | undefined;
}
/** Missing where the client is not installed. */
export const webChat = defineService<WebChat>('webChat');

/** Bytes of a request to sign in. */
const MOST_BYTES = 1024;
const missing =
  'The chat in the browser needs Converse.js: run "npm install converse.js" beside Parley and start it again.';

const others = [{ href: 'https://xmpp.org/software/', text: 'Other programs to chat with' }];

/** What the client would ask others for by itself, when it is not told otherwise; and what everybody finds on the way in. */
const common = {
  view_mode: 'fullscreen',
  discover_connection_methods: false,
  xmpp_providers_url: '',
  autocomplete_providers_url: '',
  providers_link: '',
  embed_3rd_party_media_players: false,
  use_system_emojis: true,
  muc_nickname_from_jid: true,
};

export default defineModule({
  xeps: [],
  summary: 'The web client Converse.js at `/chat`, for the host that the browser asks for',
  provides: [webSignIn, webChat],
  config: z.strictObject({
    media: z.enum(['own', 'all']).prefault('own').meta({
      description:
        'Which pictures, videos and sounds in messages are shown: `own` those that lie on this server, and others are links; `all` those of any server, encrypted ones too. Whoever sends one that lies elsewhere learns the network address of everybody who is shown it.',
    }),
  }),
  stores: { handOvers: map<HandOver>() },

  setup({ host, config, stores, router, web, clock }) {
    const client = findClient();
    // another domain, which has none, is not given this one's
    const isOurs = ({ named }: WebRequest): boolean => named === undefined || named === host.domain;
    const get = (
      path: string,
      answer: (request: WebRequest) => WebReply | Promise<WebReply | undefined>,
    ): WebRoute => ({
      methods: ['GET'],
      path,
      handle: (request) => (isOurs(request) ? answer(request) : undefined),
    });
    if (client === undefined) {
      const absent = (status: number) => () => plainPage(status, `Parley serves ${host.domain}`, missing, others);
      return { routes: [get('/', absent(200)), get('/chat', absent(503))] };
    }

    let found: Assets | undefined;
    // some hundred files are looked at, once and for whoever comes first
    const assets = (): Assets => {
      found ??= new Assets(client);
      return found;
    };
    const handOvers = new HandOvers(stores.handOvers, host.accounts, clock);
    const origins = (): readonly string[] => originsOf(web.url('/'));
    const settings = (): object => ({
      ...common,
      ...settingsOf(host, (domain) => router.hostOf(domain)?.kind === 'rooms'),
      ...(config.media === 'own' ? onlyFrom(mediaHosts(host, origins())) : {}),
    });

    const signIn = async (request: WebRequest): Promise<WebReply | undefined> => {
      checkSignIn(request);
      const { ticket } = parseTicket(await request.read(MOST_BYTES));
      const taken = await handOvers.take(ticket);
      if (taken === undefined) return undefined;
      const { hash, salt, iterations, clientKey, serverKey } = taken.keys;
      // as Converse.js keeps them
      const keys = { name: hash.toUpperCase(), salt, iter: iterations, ck: clientKey, sk: serverKey };
      return json({ jid: `${taken.local}@${host.domain}`, keys });
    };

    return {
      handlers: [
        provide(webSignIn, {
          ticket: async (user, password) => `/chat#sign-in=${await handOvers.give(user, password)}`,
        }),
        provide(webChat, { address: () => web.url('/chat') }),
      ],
      routes: [
        get('/', () => redirect('chat')),
        get('/chat', () =>
          chatPage({ domain: host.domain, version: assets().version, origins: origins(), media: config.media }),
        ),
        get('/chat/', () => redirect('../chat')),
        get('/chat/settings', () =>
          // whether people may have accounts made, the server tells them when they ask
          json({ client: settings(), invites: host.find(invitations) !== undefined }),
        ),
        get('/chat/assets/:version/*', ({ params, headers }) =>
          assets().serve(params.version ?? '', params['*'] ?? '', headers),
        ),
        // whose it is the ticket says: the page may have been opened by any name
        { methods: ['POST'], path: '/chat/sign-in', handle: signIn },
      ],
    };
  },
});

const redirect = (location: string): WebReply => ({ status: 302, headers: { location } });

const json = (value: object): WebReply => ({
  status: 200,
  type: 'application/json; charset=utf-8',
  body: JSON.stringify(value),
});

/** What the client has to know of the host. */
function settingsOf(host: Host, isRooms: (domain: string) => boolean): object {
  const { domain, services, settings } = host;
  const rooms = services.find(isRooms);
  const hasRegistration = settings.registration === 'open' && settings.modules.register !== false;
  const isForGuests = settings.authentication === 'anonymous';
  return {
    ...(isForGuests
      ? { authentication: 'anonymous', jid: domain }
      : { authentication: 'login', locked_domain: domain }),
    muc_domain: rooms,
    muc_search_service: rooms,
    allow_registration: hasRegistration && !isForGuests,
    registration_domain: domain,
  };
}

/** The names of the machines that files of the host's own people lie on. */
function mediaHosts({ domain }: Host, origins: readonly string[]): readonly string[] {
  return [...new Set([domain, ...origins.map((origin) => new URL(origin).hostname)])];
}

/** Not `render_media`, which is a list too: Converse.js 14 shows what is attached (XEP-0066) all the same, and trips over odd addresses. */
function onlyFrom(names: readonly string[]): object {
  return { allowed_image_domains: names, allowed_audio_domains: names, allowed_video_domains: names };
}

function originsOf(url: string | undefined): readonly string[] {
  return url === undefined ? [] : [new URL(url).origin];
}

/** Only a page of ours asks for this. @throws WebRefusal */
function checkSignIn({ headers, peer }: WebRequest): void {
  if (!peer.isConfidential) throw new WebRefusal(403, 'this is told over HTTPS only');
  const site = headers['sec-fetch-site'];
  if (site !== undefined && site !== 'same-origin') throw new WebRefusal(403, 'this is told to our own pages only');
  if (headers['content-type'] !== 'application/json') throw new WebRefusal(415, 'this takes JSON');
}

/** @throws WebRefusal */
function parseTicket(body: Buffer): { readonly ticket: string } {
  const parsed = ticketShape.safeParse(parseJson(body.toString()));
  if (!parsed.success) throw new WebRefusal(400, 'this takes a ticket');
  return parsed.data;
}
const ticketShape = z.object({ ticket: z.string() });

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
