// A Chromium without a window, driven over its DevTools protocol: pages, what they fetch, and what scripts in them say.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { WebSocket } from 'ws';

/** How long a start and an end may take, in milliseconds. */
const START = 20_000;
const STOP = 5_000;
/** How long a page may take to show something, in milliseconds: machines are busy. */
const PATIENCE = 15_000;

interface Reply {
  readonly id?: number;
  readonly method?: string;
  readonly params?: Readonly<Record<string, unknown>>;
  readonly sessionId?: string;
  readonly result?: unknown;
  readonly error?: { readonly message: string };
}

export class Chromium implements AsyncDisposable {
  private readonly child: ChildProcess;
  private readonly folder: string;
  private readonly socket: WebSocket;
  private readonly waiting = new Map<number, (reply: Reply) => void>();
  private readonly pages = new Map<string, ChromiumPage>();
  private last = 0;

  private constructor(child: ChildProcess, folder: string, socket: WebSocket) {
    this.child = child;
    this.folder = folder;
    this.socket = socket;
    socket.on('message', (data) => {
      const reply = JSON.parse(String(data)) as Reply;
      if (reply.id !== undefined) this.waiting.get(reply.id)?.(reply);
      else if (reply.method !== undefined)
        this.pages.get(reply.sessionId ?? '')?.notice(reply.method, reply.params ?? {});
    });
  }

  /** Starts one with a profile of its own; it reaches nothing but this machine. */
  static async start(): Promise<Chromium> {
    const folder = mkdtempSync(join(tmpdir(), 'parley-chromium-'));
    const child = spawn(
      'chromium',
      [
        '--headless=new',
        '--no-sandbox',
        '--disable-gpu',
        '--disable-dev-shm-usage',
        '--no-first-run',
        '--disable-background-networking',
        '--disable-component-update',
        '--disable-sync',
        '--disable-extensions',
        // a name that browsers do not take for this machine itself
        '--host-resolver-rules=MAP lan.example 127.0.0.1, MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost',
        `--user-data-dir=${folder}`,
        '--remote-debugging-port=0',
        'about:blank',
      ],
      { stdio: ['ignore', 'ignore', 'pipe'] },
    );
    try {
      const socket = new WebSocket(await endpointOf(child));
      await once(socket, 'open');
      return new Chromium(child, folder, socket);
    } catch (error) {
      child.kill('SIGKILL');
      throw error;
    }
  }

  /** Opens a page; pages that are not `apart` share what they store. */
  async open(url: string, apart = false): Promise<ChromiumPage> {
    // the first page of its kind is a window, whose size can be told
    const window = apart && { ...(await this.call<object>('Target.createBrowserContext')), width: 1100, height: 800 };
    const target = { url: 'about:blank', ...window };
    const { targetId } = await this.call<{ targetId: string }>('Target.createTarget', target);
    const flat = { targetId, flatten: true };
    const { sessionId } = await this.call<{ sessionId: string }>('Target.attachToTarget', flat);
    const page = new ChromiumPage(<T>(method: string, params: object) => this.call<T>(method, params, sessionId));
    this.pages.set(sessionId, page);
    await this.call('Network.enable', {}, sessionId);
    await this.call('Runtime.enable', {}, sessionId);
    await this.call('Log.enable', {}, sessionId);
    await this.call('Page.navigate', { url }, sessionId);
    return page;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const ended = this.child.exitCode === null ? once(this.child, 'exit') : undefined;
    // in order, or its other processes still write into the folder; killed, should it not go
    this.call('Browser.close').catch(() => {});
    const late = setTimeout(() => this.child.kill('SIGKILL'), STOP);
    await ended;
    clearTimeout(late);
    this.socket.terminate();
    rmSync(this.folder, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 });
  }

  private call<T>(method: string, params: object = {}, sessionId?: string): Promise<T> {
    const id = ++this.last;
    return new Promise<T>((resolve, reject) => {
      this.waiting.set(id, ({ result, error }) => {
        this.waiting.delete(id);
        if (error === undefined) resolve(result as T);
        else reject(new Error(`${method}: ${error.message}`));
      });
      this.socket.send(JSON.stringify({ id, method, params, sessionId }));
    });
  }
}

export class ChromiumPage {
  /** Every address that the page has fetched something from, or connected to. */
  readonly fetched: string[] = [];
  /** What scripts complained about. */
  readonly complaints: string[] = [];
  /** What the page's own policy (CSP) kept it from. */
  readonly refused: string[] = [];
  /** Addresses, by the browser's names for requests. */
  private readonly underWay = new Map<string, string>();
  private readonly call: <T>(method: string, params: object) => Promise<T>;

  constructor(call: <T>(method: string, params: object) => Promise<T>) {
    this.call = call;
  }

  /** Runs no scripts of pages from now on; those of tests do. */
  async withoutScripts(): Promise<void> {
    await this.call('Emulation.setScriptExecutionDisabled', { value: true });
  }

  /** As if the window were so wide, in pixels. */
  async resize(width: number, height: number): Promise<void> {
    await this.call('Emulation.setDeviceMetricsOverride', { width, height, deviceScaleFactor: 1, mobile: true });
  }

  async goTo(url: string): Promise<void> {
    await this.call('Page.navigate', { url });
  }

  /** The value of an expression in the page; of what it promises, if it does. */
  async evaluate<T>(expression: string): Promise<T> {
    const { result, exceptionDetails } = await this.call<{
      result: { value: T };
      exceptionDetails?: { text: string; exception?: { description?: string } };
    }>('Runtime.evaluate', { expression, awaitPromise: true, returnByValue: true });
    if (exceptionDetails === undefined) return result.value;
    throw new Error(exceptionDetails.exception?.description ?? exceptionDetails.text);
  }

  /** Asks until it is true; false when it does not become so within `ms` milliseconds. */
  async until(ms: number, expression: string): Promise<boolean> {
    for (const end = Date.now() + ms; Date.now() < end; ) {
      if (await this.evaluate<boolean>(`Boolean(${expression})`)) return true;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    return false;
  }

  /** Waits until it is to be read. @throws Error with all there is to read, when it is not within `ms` milliseconds */
  async shows(text: string, ms = PATIENCE): Promise<void> {
    if (await this.until(ms, `document.body?.innerText.includes(${JSON.stringify(text)})`)) return;
    throw new Error(`${text} is not shown:\n${await this.evaluate('document.body.innerText')}`);
  }

  /**
   * Clicks with the mouse on the first element of a selector whose text begins so: when it is there, stands still, and nothing covers it.
   * @throws Error with all there is to read, when that is not so within `ms` milliseconds
   */
  async click(selector: string, text = '', ms = PATIENCE): Promise<void> {
    const find = `(() => {
      for (const element of document.querySelectorAll(${JSON.stringify(selector)})) {
        if (!element.innerText?.trim().startsWith(${JSON.stringify(text)})) continue;
        element.scrollIntoView({ block: 'center', behavior: 'instant' });
        const { x, y, width, height } = element.getBoundingClientRect();
        const place = [x + width / 2, y + height / 2];
        const top = document.elementFromPoint(...place);
        if (top !== null && (element.contains(top) || top.contains(element))) return place;
      }
      return [];
    })()`;
    let last: readonly number[] = [];
    for (const end = Date.now() + ms; Date.now() < end; ) {
      const place = await this.evaluate<readonly number[]>(find);
      const [x, y] = place;
      if (x !== undefined && x === last[0] && y === last[1]) {
        const mouse = { x, y, button: 'left', clickCount: 1 };
        for (const type of ['mousePressed', 'mouseReleased'])
          await this.call('Input.dispatchMouseEvent', { type, ...mouse });
        return;
      }
      last = place;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    throw new Error(`${selector} ${text} cannot be clicked:\n${await this.evaluate('document.body.innerText')}`);
  }

  /** Types into what has the focus. */
  async type(text: string): Promise<void> {
    await this.call('Input.insertText', { text });
  }

  async pressEnter(): Promise<void> {
    const key = { key: 'Enter', code: 'Enter', windowsVirtualKeyCode: 13 };
    await this.call('Input.dispatchKeyEvent', { type: 'keyDown', text: '\r', ...key });
    await this.call('Input.dispatchKeyEvent', { type: 'keyUp', ...key });
  }

  /** Chooses a file where one is asked for, as if in the window that opens there. */
  async choose(selector: string, file: string): Promise<void> {
    const expression = `document.querySelector(${JSON.stringify(selector)})`;
    const { result } = await this.call<{ result: { objectId: string } }>('Runtime.evaluate', { expression });
    await this.call('DOM.setFileInputFiles', { files: [file], objectId: result.objectId });
  }

  /** For the browser: something has happened in the page. */
  notice(method: string, params: Readonly<Record<string, unknown>>): void {
    if (method === 'Network.requestWillBeSent') {
      const { url } = params.request as { url: string };
      this.fetched.push(url);
      this.underWay.set(String(params.requestId), url);
    } else if (method === 'Network.loadingFailed' && params.blockedReason === 'csp') {
      // it was never sent
      this.fetched.splice(this.fetched.lastIndexOf(this.underWay.get(String(params.requestId)) ?? ''), 1);
    } else if (method === 'Network.webSocketCreated') this.fetched.push(String(params.url));
    else if (method === 'Log.entryAdded') {
      const { text } = params.entry as { text: string };
      if (text.includes('Content Security Policy')) this.refused.push(text);
    } else if (method === 'Runtime.exceptionThrown') {
      const { text, exception } = params.exceptionDetails as { text: string; exception?: { description?: string } };
      this.complaints.push(exception?.description ?? text);
    }
  }
}

/** Where it is to be reached, which it says on standard error. */
function endpointOf(child: ChildProcess): Promise<string> {
  return new Promise((resolve, reject) => {
    let said = '';
    const late = setTimeout(() => reject(new Error(`Chromium does not start:\n${said}`)), START);
    child.on('error', reject);
    child.on('exit', () => reject(new Error(`Chromium ended:\n${said}`)));
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      said += text;
      const endpoint = /DevTools listening on (ws:\/\/\S+)/.exec(said)?.[1];
      if (endpoint === undefined) return;
      clearTimeout(late);
      resolve(endpoint);
    });
  });
}
