// The pages on which people say whom they let in. Without scripts, without anything from elsewhere, and in no other page's frame.
import type { WebReply } from '../../core/web.ts';
import { escapeAttr } from '../../xml/escape.ts';
import { OFFLINE, OPENID, roleOfScope, WHOLE } from './scopes.ts';

const style = `body{font:16px/1.5 system-ui,sans-serif;max-width:26rem;margin:3rem auto;padding:0 1rem;color:#222;background:#fff}
label{display:block;margin:1rem 0 .25rem}input{width:100%;box-sizing:border-box;padding:.5rem;font:inherit}
button{padding:.5rem 1.5rem;margin:1.5rem .5rem 0 0;font:inherit}.wrong{color:#a00}code{word-break:break-all}
@media(prefers-color-scheme:dark){body{color:#ddd;background:#181818}.wrong{color:#f88}}`;

/** @param target where the answer of a form may lead, besides here */
function page(status: number, title: string, body: string, target = ''): WebReply {
  const csp = [
    "default-src 'none'",
    "style-src 'unsafe-inline'",
    `form-action 'self' ${target}`.trimEnd(),
    "frame-ancestors 'none'",
    "base-uri 'none'",
  ].join('; ');
  return {
    status,
    type: 'text/html; charset=utf-8',
    headers: { 'content-security-policy': csp, 'x-frame-options': 'DENY', 'referrer-policy': 'no-referrer' },
    body: `<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">
<title>${escapeAttr(title)}</title><style>${style}</style></head><body><h1>${escapeAttr(title)}</h1>${body}</body></html>`,
  };
}

export interface Question {
  readonly domain: string;
  /** Who asks: what it calls itself, and where it is. */
  readonly client: { readonly client_name: string; readonly client_uri: string };
  readonly scopes: readonly string[];
  /** Where the form goes. */
  readonly action: string;
  /** Where the answer leads then, for the browser to allow. */
  readonly target?: string;
  /** Values that go with the form. */
  readonly hidden?: Readonly<Record<string, string>>;
  readonly name?: string;
  /** Why it is asked again. */
  readonly problem?: string;
}

/** Asks whether a client may come in, and who says so. */
export function question({
  domain,
  client,
  scopes,
  action,
  target,
  hidden = {},
  name = '',
  problem,
}: Question): WebReply {
  const site = new URL(client.client_uri).hostname;
  const fields = Object.entries(hidden).map(
    ([key, value]) => `<input type="hidden" name="${key}" value="${escapeAttr(value)}">`,
  );
  return page(
    problem === undefined ? 200 : 401,
    `Let ${client.client_name} in?`,
    `<p><b>${escapeAttr(client.client_name)}</b> of <b>${escapeAttr(site)}</b> asks for your account at <b>${escapeAttr(domain)}</b>. It wants to:</p>
<ul>${scopes.map((scope) => `<li>${escapeAttr(meaning(scope))}</li>`).join('')}</ul>
<p>Nobody has checked what it says of itself. If you did not just ask for this, close this page.</p>
<form method="post" action="${escapeAttr(action)}">${fields.join('')}
<label for="u">User name at ${escapeAttr(domain)}</label><input id="u" name="username" autocomplete="username" autocapitalize="none" value="${escapeAttr(name)}" autofocus>
<label for="p">Password</label><input id="p" name="password" type="password" autocomplete="current-password">
${problem === undefined ? '' : `<p class="wrong" role="alert">${escapeAttr(problem)}</p>`}
<button name="decision" value="allow">Allow</button><button name="decision" value="deny" formnovalidate>Do not allow</button></form>`,
    target,
  );
}

/** Asks for the code that a device shows. */
export function codeQuestion(action: string, problem?: string): WebReply {
  return page(
    problem === undefined ? 200 : 400,
    'Let a device in',
    `<form method="get" action="${escapeAttr(action)}"><label for="c">The code that it shows</label>
<input id="c" name="user_code" autocomplete="off" autocapitalize="characters" autofocus>
${problem === undefined ? '' : `<p class="wrong" role="alert">${escapeAttr(problem)}</p>`}<button>Go on</button></form>`,
  );
}

/** Tells something, when there is nothing more to do. */
export function notice(status: number, title: string, text: string, code?: string): WebReply {
  return page(
    status,
    title,
    `<p>${escapeAttr(text)}</p>${code === undefined ? '' : `<p><code>${escapeAttr(code)}</code></p>`}`,
  );
}

function meaning(scope: string): string {
  if (scope === WHOLE) return 'do everything that you may do, such as reading and sending messages in your name';
  if (scope === OPENID) return 'know your address';
  if (scope === OFFLINE) return 'stay in until you change your password';
  const role = roleOfScope(scope);
  return role === undefined ? scope : `do everything in your name that somebody with the role "${role}" may do`;
}
