// A process that is somebody with the Prose app: the core of that app, compiled to WebAssembly, over a WebSocket and with nothing else
// between it and the server. Each has a process of their own, since the core keeps what it knows in the one database of a browser.
import 'fake-indexeddb/auto';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import type { ProseClient, ProseConnection, ProseConnectionEventHandler, ProseRoom } from '@prose-im/prose-sdk-js';
import { WebSocket } from 'ws';

export interface ProseLogin {
  /** Where XMPP is spoken over WebSocket. */
  readonly url: string;
  readonly domain: string;
  readonly user: string;
  readonly password: string;
}

export interface RoomSeen {
  readonly id: string;
  readonly name: string;
  readonly isConnected: boolean;
  readonly subject: string | undefined;
  readonly people: readonly string[];
}

export interface MessageSeen {
  readonly from: string;
  readonly text: string;
  readonly reactions: readonly string[];
}

/** How often the core is given a chance to notice that answers are late, in milliseconds. */
const TICK = 2_000;

const login = JSON.parse(process.argv[2] ?? '{}') as ProseLogin;
Object.assign(globalThis, { window: globalThis, self: globalThis });
const sdk = await import('@prose-im/prose-sdk-js');
const wasm = createRequire(import.meta.url).resolve('@prose-im/prose-sdk-js/prose_sdk_js_bg.wasm');
sdk.initSync({ module: readFileSync(wasm) });

/** What the core calls a connection: stanzas in, stanzas out, after a login that it leaves to others. */
class Connection implements ProseConnection {
  private handler: ProseConnectionEventHandler | undefined;
  private socket: WebSocket | undefined;
  private timer: NodeJS.Timeout | undefined;

  setEventHandler(handler: ProseConnectionEventHandler): void {
    this.handler = handler;
  }

  async connect(jid: string, password: string): Promise<void> {
    const socket = new WebSocket(login.url, 'xmpp');
    this.socket = socket;
    await once(socket, 'open');
    const heard: string[] = [];
    let wake = (): void => {};
    const hear = (data: unknown): void => {
      heard.push(String(data));
      wake();
    };
    socket.on('message', hear);
    const expect = async (beginning: string): Promise<void> => {
      while (heard.length === 0) await new Promise<void>((resolve) => (wake = resolve));
      const frame = heard.shift() ?? '';
      if (!frame.startsWith(beginning)) throw new Error(`${frame} instead of ${beginning}`);
    };
    const open = async (): Promise<void> => {
      socket.send(`<open xmlns='urn:ietf:params:xml:ns:xmpp-framing' to='${login.domain}' version='1.0'/>`);
      await expect('<open');
      await expect('<stream:features');
    };
    await open();
    const plain = Buffer.from(`\0${login.user}\0${password}`).toString('base64');
    socket.send(`<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>${plain}</auth>`);
    await expect('<success');
    await open();
    const resource = `<resource>${jid.split('/')[1]}</resource>`;
    const bind = `<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>${resource}</bind>`;
    socket.send(`<iq xmlns='jabber:client' type='set' id='bind'>${bind}</iq>`);
    await expect('<iq');
    socket.off('message', hear);
    socket.on('message', (data) => this.handler?.handleStanza(String(data)));
    socket.on('close', () => this.handler?.handleDisconnect('closed'));
    this.timer = setInterval(() => this.handler?.handleTimeoutTimer(), TICK);
  }

  disconnect(): void {
    clearInterval(this.timer);
    this.socket?.close();
  }

  sendStanza(stanza: string): void {
    this.socket?.send(stanza);
  }
}

let client: ProseClient;
const jid = (text: string) => new sdk.JID(text);
const address = (user: string): string => (user.includes('@') ? user : `${user}@${login.domain}`);

/** The room of a name or an address among those in the list at the side. @throws Error where there is none */
async function roomOf(name: string): Promise<ProseRoom> {
  const items = await client.sidebarItems();
  const item = items.find(({ name: known, room }) => known === name || room.id === name);
  if (item === undefined) throw new Error(`there is no ${name} among ${items.map((one) => one.name).join(', ')}`);
  return item.room;
}

async function messageOf(room: string, text: string): Promise<string> {
  const { messages } = await (await roomOf(room)).loadLatestMessages();
  const found = messages.find((message) => message.content.includes(text));
  if (found?.id === undefined) throw new Error(`nobody has said ${text}`);
  return found.id;
}

function words(text: string) {
  const request = new sdk.SendMessageRequest();
  const body = new sdk.SendMessageRequestBody();
  body.text = text;
  request.body = body;
  return request;
}

/** What people do with it. */
const verbs = {
  logIn: async () => {
    const silent = { logDebug: () => {}, logInfo: () => {}, logWarn: () => {}, logError: () => {} };
    // it tells of whatever happens, and nobody looks at that here
    const delegate = new Proxy({}, { get: () => () => {} });
    const provider = { provideConnection: () => new Connection() };
    client = await sdk.ProseClient.init(provider, delegate, undefined, silent, new sdk.ProseClientConfig());
    await client.connect(jid(address(login.user)), login.password);
    await client.startObservingRooms();
  },
  makePublicChannel: async (name: string) => String(await client.createPublicChannel(name)),
  makePrivateChannel: async (name: string) => String(await client.createPrivateChannel(name)),
  makeGroup: async (...users: string[]) => String(await client.createGroup(users.map(address))),
  talkTo: async (user: string) => String(await client.startConversation([address(user)])),
  publicChannels: async () => (await client.loadPublicChannels()).map(({ name }) => name),
  join: async (room: string) => String(await client.joinRoom(jid(room))),
  destroy: (room: string) => client.destroyRoom(jid(room)),
  invite: async (room: string, user: string) => (await roomOf(room)).inviteUsers([address(user)]),
  rooms: async (): Promise<RoomSeen[]> =>
    (await client.sidebarItems()).map(({ name, room }) => ({
      id: room.id,
      name,
      isConnected: room.state.type === sdk.RoomStateType.Connected,
      subject: room.subject,
      people: room.participants.map((one) => one.name).sort(),
    })),
  say: async (room: string, text: string) => (await roomOf(room)).sendMessage(words(text)),
  correct: async (room: string, from: string, to: string) =>
    (await roomOf(room)).updateMessage(await messageOf(room, from), words(to)),
  retract: async (room: string, text: string) => (await roomOf(room)).retractMessage(await messageOf(room, text)),
  react: async (room: string, text: string, emoji: string) =>
    (await roomOf(room)).toggleReactionToMessage(await messageOf(room, text), emoji),
  messages: async (room: string): Promise<MessageSeen[]> =>
    (await (await roomOf(room)).loadLatestMessages()).messages.map(({ content, user, reactions }) => ({
      from: user.name,
      // of HTML
      text: content.replaceAll(/<[^>]*>/g, '').trim(),
      reactions: reactions.map(({ reaction }) => reaction),
    })),
  setTopic: async (room: string, topic: string) => (await roomOf(room)).setTopic(topic),
  rename: async (room: string, name: string) => (await roomOf(room)).setName(name),
  type: async (room: string) => (await roomOf(room)).setUserIsComposing(true),
  typists: async (room: string) => (await (await roomOf(room)).loadComposingUsers()).map(({ name }) => name),
  addContact: (user: string) => client.addContact(jid(address(user))),
  approveAll: async () => {
    const requests = await client.loadPresenceSubscriptionRequests();
    for (const { id } of requests) await client.approvePresenceSubscriptionRequest(id);
    return requests.length;
  },
  contacts: async () =>
    (await client.loadContacts()).map((one) => ({
      jid: String(one.jid),
      name: one.name,
      status: one.status?.text,
      isHere: one.availability === sdk.Availability.Available,
    })),
  saveProfile: async (first: string, last: string, email: string) => {
    const profile = new sdk.UserProfile();
    Object.assign(profile, { firstName: first, lastName: last, email });
    await client.saveUserProfile(profile);
  },
  profile: async (user: string) => {
    const profile = await client.loadUserProfile(jid(address(user)));
    return profile && { first: profile.firstName, last: profile.lastName, email: profile.email };
  },
  savePicture: (base64: string, type: string) => client.saveAvatar(base64, type),
  picture: async (user: string) => {
    const contact = (await client.loadContacts()).find((one) => String(one.jid) === address(user));
    return contact?.avatar && (await client.loadAvatarDataURL(contact.avatar));
  },
  saveActivity: (icon: string, text: string) => client.sendActivity(icon, text),
  workspace: async () => {
    const { name, accentColor, icon } = await client.loadWorkspaceInfo();
    return { name, color: accentColor, icon: icon && (await client.loadWorkspaceIcon(icon)) };
  },
  block: (user: string) => client.blockUser(jid(address(user))),
  unblock: (user: string) => client.unblockUser(jid(address(user))),
  blocked: async () => (await client.loadBlockList()).map((one) => String(one.jid)),
};
export type ProseVerbs = typeof verbs;

interface Request {
  readonly id: number;
  readonly verb: keyof ProseVerbs;
  readonly args: readonly string[];
}

process.on('message', ({ id, verb, args }: Request) => {
  const done = (verbs[verb] as (...all: readonly string[]) => Promise<unknown>)(...args);
  done.then(
    (value) => process.send?.({ id, value }),
    (error: unknown) => process.send?.({ id, error: error instanceof Error ? error.message : String(error) }),
  );
});
// whoever told it what to do is gone
process.on('disconnect', () => process.exit());
