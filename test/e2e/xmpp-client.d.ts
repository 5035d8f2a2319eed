// What the tests use of @xmpp/client, which brings no types.
declare module '@xmpp/client' {
  import type { Element } from 'ltx';

  type Child = Element | string | undefined;
  interface Caller {
    get(child: Element, to?: string, timeout?: number): Promise<Element>;
    set(child: Element, to?: string, timeout?: number): Promise<Element>;
    request(stanza: Element, timeout?: number): Promise<Element>;
  }
  interface XmppJid {
    readonly resource: string;
    toString(): string;
    bare(): XmppJid;
  }
  export interface Token {
    readonly mechanism: string;
    readonly token: string;
    readonly expiry: string;
  }
  export interface Client {
    readonly iqCaller: Caller;
    /** XEP-0484; the methods are there to be replaced. */
    readonly fast: {
      fetchToken(): Promise<Token | null | undefined>;
      saveToken(token: Token): Promise<void>;
      deleteToken(): Promise<void>;
    };
    readonly streamManagement: { readonly id: string; on(event: 'resumed' | 'fail', listener: () => void): void };
    /** What it is connected by. */
    readonly socket: { readonly socket: { destroy(): void } } | null;
    readonly reconnect: { delay: number; start(): void; stop(): void };
    readonly status: string;
    readonly jid: XmppJid | null;
    start(): Promise<XmppJid>;
    stop(): Promise<void>;
    send(element: Element): Promise<void>;
    on(event: 'disconnect', listener: (how: { readonly clean: boolean; readonly reason: unknown }) => void): void;
    on(event: 'stanza' | 'send', listener: (stanza: Element) => void): void;
    on(event: 'error', listener: (error: Error & { readonly condition?: string }) => void): void;
    on(event: 'online', listener: (address: XmppJid) => void): void;
    on(event: 'disconnect', listener: () => void): void;
    readonly tcp: unknown;
    connect(service: string): Promise<void>;
    open(options: { readonly domain: string }): Promise<Element>;
    disconnect(): Promise<void>;
  }
  export function client(options: {
    readonly service: string;
    readonly domain: string;
    readonly resource?: string;
    readonly username?: string;
    readonly password?: string;
    readonly userAgent?: Element;
    readonly credentials?: (
      authenticate: (credentials: object, mechanism: string) => Promise<void>,
      mechanisms: readonly string[],
    ) => Promise<void>;
  }): Client;
  export function xml(name: string, attrs?: object | string, ...children: Child[]): Element;
}
