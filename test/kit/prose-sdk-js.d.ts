// What the tests use of the core of Prose, whose own types are not valid.
declare module '@prose-im/prose-sdk-js' {
  class JID {
    constructor(text: string);
    toString(): string;
  }
  class SendMessageRequestBody {
    text: string;
  }
  class SendMessageRequest {
    body: SendMessageRequestBody;
  }
  class UserProfile {
    firstName: string | undefined;
    lastName: string | undefined;
    email: string | undefined;
  }
  class ProseClientConfig {}
  const RoomStateType: { readonly Connected: number };
  const Availability: { readonly Available: number };
  function initSync(options: { readonly module: Uint8Array }): void;

  interface ProseConnectionEventHandler {
    handleStanza(stanza: string): void;
    handleDisconnect(error?: string): void;
    handleTimeoutTimer(): void;
  }
  interface ProseConnection {
    setEventHandler(handler: ProseConnectionEventHandler): void;
    connect(jid: string, password: string): Promise<void>;
    disconnect(): void;
    sendStanza(stanza: string): void;
  }
  interface ProseMessage {
    readonly id: string | undefined;
    readonly content: string;
    readonly user: { readonly name: string };
    readonly reactions: readonly { readonly reaction: string }[];
  }
  interface ProseRoom {
    readonly id: string;
    readonly state: { readonly type: number };
    readonly subject: string | undefined;
    readonly participants: readonly { readonly name: string }[];
    sendMessage(request: SendMessageRequest): Promise<void>;
    updateMessage(id: string, request: SendMessageRequest): Promise<void>;
    retractMessage(id: string): Promise<void>;
    toggleReactionToMessage(id: string, emoji: string): Promise<void>;
    loadLatestMessages(): Promise<{ readonly messages: readonly ProseMessage[] }>;
    setUserIsComposing(isComposing: boolean): Promise<void>;
    loadComposingUsers(): Promise<readonly { readonly name: string }[]>;
    setTopic(topic: string): Promise<void>;
    setName(name: string): Promise<void>;
    inviteUsers(users: readonly string[]): Promise<void>;
  }
  interface Picture {
    readonly id: string;
  }
  class ProseClient {
    static init(
      provider: { provideConnection(): ProseConnection },
      delegate: object,
      encryption: undefined,
      logger: Readonly<Record<string, (message: string) => void>>,
      config: ProseClientConfig,
    ): Promise<ProseClient>;
    connect(jid: JID, password: string): Promise<void>;
    startObservingRooms(): Promise<void>;
    createPublicChannel(name: string): Promise<JID>;
    createPrivateChannel(name: string): Promise<JID>;
    createGroup(users: readonly string[]): Promise<JID>;
    startConversation(users: readonly string[]): Promise<JID>;
    loadPublicChannels(): Promise<readonly { readonly name: string }[]>;
    joinRoom(room: JID): Promise<JID>;
    destroyRoom(room: JID): Promise<void>;
    sidebarItems(): Promise<readonly { readonly name: string; readonly room: ProseRoom }[]>;
    addContact(jid: JID): Promise<void>;
    loadPresenceSubscriptionRequests(): Promise<readonly { readonly id: object }[]>;
    approvePresenceSubscriptionRequest(id: object): Promise<void>;
    loadContacts(): Promise<
      readonly {
        readonly jid: JID;
        readonly name: string;
        readonly availability: number;
        readonly avatar: Picture | undefined;
        readonly status: { readonly text: string | undefined } | undefined;
      }[]
    >;
    loadAvatarDataURL(picture: Picture): Promise<string | undefined>;
    saveAvatar(base64: string, type: string): Promise<void>;
    saveUserProfile(profile: UserProfile): Promise<void>;
    loadUserProfile(jid: JID): Promise<UserProfile | undefined>;
    sendActivity(icon: string, text: string): Promise<void>;
    loadWorkspaceInfo(): Promise<{
      readonly name: string;
      readonly accentColor: string | undefined;
      readonly icon: Picture | undefined;
    }>;
    loadWorkspaceIcon(icon: Picture): Promise<string | undefined>;
    blockUser(jid: JID): Promise<void>;
    unblockUser(jid: JID): Promise<void>;
    loadBlockList(): Promise<readonly { readonly jid: JID }[]>;
  }
}
