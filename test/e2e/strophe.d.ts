// What the tests use of strophe.js, whose own types need those of a browser.
declare module 'strophe.js' {
  /** A stanza of the library's own document object model. */
  interface Node {
    readonly nodeName: string;
    getAttribute(name: string): string | null;
    getElementsByTagName(name: string): ArrayLike<{ readonly textContent: string }>;
  }
  interface Builder {
    c(name: string, attrs?: Readonly<Record<string, string>>): Builder;
    t(text: string): Builder;
  }
  type Status = (status: number, condition?: string) => void;
  class Connection {
    constructor(service: string, options?: object);
    readonly jid: string;
    connect(jid: string, password: string, callback: Status, wait?: number, hold?: number): void;
    disconnect(reason?: string): void;
    send(stanza: Builder): void;
    sendIQ(stanza: Builder, done: (answer: Node) => void, failed: (answer: Node) => void, timeout?: number): string;
    addHandler(handler: (stanza: Node) => boolean): void;
  }
  export const Strophe: {
    readonly Connection: typeof Connection;
    readonly Status: Readonly<Record<'CONNECTED' | 'DISCONNECTED' | 'AUTHFAIL' | 'CONNFAIL', number>>;
    readonly LogLevel: { readonly FATAL: number };
    setLogLevel(level: number): void;
  };
  export function $msg(attrs: Readonly<Record<string, string>>): Builder;
  export function $pres(attrs?: Readonly<Record<string, string>>): Builder;
  export function $iq(attrs: Readonly<Record<string, string>>): Builder;
}
