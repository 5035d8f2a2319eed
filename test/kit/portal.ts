// The Snikket web portal as the server sees it: the requests that its client makes, in the way it makes them.
import { request } from 'node:http';
import { parseElement } from '../../src/xml/document.ts';
import type { Element } from '../../src/xml/element.ts';

export interface PortalAnswer {
  readonly status: number;
  // biome-ignore lint/suspicious/noExplicitAny: what is answered is looked at by the tests
  readonly json: any;
  readonly text: string;
}

/** What the portal asks for when somebody logs in. */
const SCOPES = 'prosody:restricted prosody:registered prosody:admin';

export class Portal {
  private readonly base: string;
  private readonly domain: string;
  private client: { readonly client_id: string; readonly client_secret: string } | undefined;
  token: string | undefined;
  scopes: readonly string[] = [];

  constructor(base: string, domain: string) {
    this.base = base;
    this.domain = domain;
  }

  /** Once for each start of the portal. */
  async register(): Promise<PortalAnswer> {
    const site = `https://${this.domain}`;
    const answer = await this.send('POST', '/oauth2/register', {
      json: {
        client_name: 'Snikket web portal',
        client_uri: site,
        redirect_uris: [`${site}/login_result`],
        application_type: 'web',
        grant_types: ['password'],
        response_types: [],
        token_endpoint_auth_method: 'client_secret_post',
        scope: SCOPES,
        software_id: '22aa246e-4373-51cb-bcaa-9f73bb235b84',
        software_version: '0.0.0',
      },
      plain: true,
    });
    this.client = answer.json;
    return answer;
  }

  async login(user: string, password: string): Promise<PortalAnswer> {
    if (this.client === undefined) await this.register();
    const { client_id, client_secret } = this.client!;
    const answer = await this.send('POST', '/oauth2/token', {
      form: { grant_type: 'password', username: user, password, scope: SCOPES },
      headers: { authorization: `Basic ${Buffer.from(`${client_id}:${client_secret}`).toString('base64')}` },
      plain: true,
    });
    if (answer.status === 200) {
      this.token = answer.json.access_token;
      this.scopes = answer.json.scope.split(' ');
    }
    return answer;
  }

  logout(): Promise<PortalAnswer> {
    const form = { token: this.token!, token_type_hint: 'access_token' };
    return this.send('POST', '/oauth2/revoke', { form, plain: true });
  }

  /** Whether the session still holds, as asked before every page. */
  ping(address: string): Promise<PortalAnswer> {
    return this.send('POST', '/rest', { json: { kind: 'iq', type: 'get', ping: true, to: address } });
  }

  /** A request as XML; the answer's stanza. */
  async iq(xml: string): Promise<{ readonly status: number; readonly stanza: Element | undefined }> {
    const answer = await this.send('POST', '/rest', { xml });
    return { status: answer.status, stanza: answer.status === 200 ? parseElement(answer.text) : undefined };
  }

  get(path: string): Promise<PortalAnswer> {
    return this.send('GET', path, {});
  }

  async send(
    method: string,
    path: string,
    {
      json,
      form,
      xml,
      headers = {},
      plain = false,
    }: {
      readonly json?: unknown;
      readonly form?: Readonly<Record<string, string>>;
      readonly xml?: string;
      readonly headers?: Readonly<Record<string, string>>;
      /** Without the token. */
      readonly plain?: boolean;
    },
  ): Promise<PortalAnswer> {
    const type =
      json !== undefined
        ? 'application/json'
        : form !== undefined
          ? 'application/x-www-form-urlencoded'
          : xml !== undefined
            ? 'application/xmpp+xml'
            : undefined;
    const body =
      json !== undefined ? JSON.stringify(json) : form !== undefined ? new URLSearchParams(form).toString() : xml;
    const response = await exchange(this.base + path, method, body, {
      // as the portal says it, wherever it reaches the server
      host: this.domain,
      accept: xml === undefined ? 'application/json' : 'application/xmpp+xml',
      ...(type === undefined ? {} : { 'content-type': type }),
      ...(plain || this.token === undefined ? {} : { authorization: `Bearer ${this.token}` }),
      ...headers,
    });
    const { text } = response;
    const isJson = response.type?.startsWith('application/json') === true;
    return { status: response.status, json: isJson ? JSON.parse(text) : undefined, text };
  }
}

/** `fetch` lets nobody say another name of the host. */
function exchange(
  url: string,
  method: string,
  body: string | undefined,
  headers: Readonly<Record<string, string>>,
): Promise<{ readonly status: number; readonly type: string | undefined; readonly text: string }> {
  return new Promise((resolve, reject) => {
    const length = body === undefined ? {} : { 'content-length': String(Buffer.byteLength(body)) };
    const sent = request(url, { method, headers: { ...headers, ...length } }, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (chunk: string) => {
        text += chunk;
      });
      response.on('end', () => resolve({ status: response.statusCode!, type: response.headers['content-type'], text }));
    });
    sent.on('error', reject).end(body);
  });
}
