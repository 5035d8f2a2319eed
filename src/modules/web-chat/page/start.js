// Starts the web client with the settings of this host; signed in, where the address has a ticket for it (hand-over.ts).
// Served as it is; addresses are relative to this file, for the server may be below a path of a proxy.
import converse from '../converse.min.js';
import { invitations } from './invite.js';

const assets = new URL('..', import.meta.url);
const at = (path) => new URL(`../../${path}`, assets);

/** The ticket of the address, which nobody is to find there any more: it is taken out before anything else is done. */
function takeTicket() {
  const ticket = /^#sign-in=([\w-]+)$/.exec(location.hash)?.[1];
  if (ticket !== undefined) history.replaceState(null, '', location.pathname + location.search);
  return ticket;
}

/** Who to sign in, and how; undefined where the ticket is worth nothing (any more). */
async function redeem(ticket) {
  const response = await fetch(at('sign-in'), {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ ticket }),
  });
  if (response.ok) return response.json();
  console.warn(await response.text());
  return undefined;
}

function tell(text) {
  document.getElementById('notice').textContent = text;
}

/** Lets somebody choose between two buttons. */
function ask(text, yes, no) {
  tell(text);
  return new Promise((resolve) => {
    for (const label of [yes, no]) {
      const button = document.createElement('button');
      button.textContent = label;
      button.addEventListener('click', () => {
        tell('');
        resolve(label === yes);
      });
      document.getElementById('notice').append(document.createElement('br'), button);
    }
  });
}

/** Who is signed in here already is asked first: a link must not put somebody into another's account unawares. */
async function isWanted({ jid }) {
  const known = localStorage.getItem('conversejs-session-jid');
  return known === null || known === jid || ask(`You are signed in as ${known}.`, `Sign in as ${jid}`, `Stay ${known}`);
}

/** Signs in once, with the keys that the client would have kept of the password, and keeps them as it would have. */
function signInWith({ jid, keys }) {
  return {
    initialize() {
      const { u } = converse.env;
      let isDone = false;
      this._converse.api.listen.on('beforeAttemptNonPreboundSession', async (_context, attempt) => {
        if (isDone || attempt.credentials) return attempt;
        isDone = true;
        await u.setUserJID(jid);
        (await u.savedLoginInfo(jid)).save({ scram_keys: keys });
        return { ...attempt, credentials: { jid, password: keys } };
      });
    },
  };
}

/** What would be fetched from elsewhere, or from where it is not. */
const ours = {
  initialize() {
    const { api } = this._converse;
    // it shows pictures of others' sites
    api.elements.define('converse-footer', class extends HTMLElement {});
    api.listen.on('loadEmojis', (_context, emojis) => {
      for (const emoji of Object.values(emojis.custom ?? {})) emoji.url = new URL(emoji.url, assets).href;
      return emojis;
    });
  },
};

async function start() {
  const ticket = takeTicket();
  if (!isSecureContext) {
    tell(
      'Browsers let a page encrypt only when it comes over HTTPS, or from this machine itself: use an address with https.',
    );
    return;
  }
  const [settings, offered] = await Promise.all([
    fetch(at('settings')).then((response) => response.json()),
    ticket === undefined ? undefined : redeem(ticket),
  ]);
  const signIn = offered !== undefined && (await isWanted(offered)) ? offered : undefined;
  const { invites, client } = settings;
  const whitelisted = ['parley'];
  converse.plugins.add('parley', ours);
  if (invites) {
    converse.plugins.add('parley-invitations', invitations(converse));
    whitelisted.push('parley-invitations');
  }
  if (signIn !== undefined) {
    converse.plugins.add('parley-sign-in', signInWith(signIn));
    whitelisted.push('parley-sign-in');
  }
  const socket = new URL('../xmpp-websocket', at('.'));
  socket.protocol = location.protocol === 'https:' ? 'wss:' : 'ws:';
  const path = assets.pathname.replace(/\/$/, '');
  await converse.initialize({
    ...client,
    websocket_url: socket.href,
    assets_path: path,
    emoji_image_path: `${path}/images`,
    sounds_path: `${path}/sounds/`,
    notification_icon: `${path}/images/logo/conversejs-filled.svg`,
    whitelisted_plugins: whitelisted,
  });
}

start().catch((error) => {
  console.error(error);
  tell('The chat could not be started. Load the page again; if that does not help, tell who runs this server.');
});
