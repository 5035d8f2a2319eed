// The pages of invitations (XEP-0379 3.2, XEP-0401 4.2): plain HTML that needs no script, and loads nothing.
import { createHash } from 'node:crypto';
import { qrSvg } from '../../base/qr.ts';
import type { WebReply } from '../../core/web.ts';
import { escapeAttr, escapeText } from '../../xml/escape.ts';
import { Jid } from '../../xmpp/jid.ts';
import type { Invitation, InvitationProblem } from './service.ts';
import { english, type PageProblem, type System, type Texts } from './texts.ts';

/** What all pages of a host have in common. */
export interface Site {
  readonly domain: string;
  /** What people call the place. */
  readonly place: string;
  /** Characters of a password, at least. */
  readonly passwordLength: number;
  /** The page that there is a chat at, as seen from an invitation's; undefined where there is none. */
  readonly chat: string | undefined;
}

/** What somebody has filled in, and why that will not do. */
export interface Attempt {
  readonly user: string;
  readonly problem: InvitationProblem;
}

const text: Texts = english;

const apps: readonly (readonly [name: string, href: string, systems: readonly System[]])[] = [
  ['Conversations', 'https://conversations.im/', ['android']],
  ['Monal', 'https://monal-im.org/', ['ios', 'mac']],
  ['Siskin', 'https://siskin.im/', ['ios']],
  ['Dino', 'https://dino.im/', ['linux', 'windows']],
  ['Gajim', 'https://gajim.org/', ['linux', 'windows', 'mac']],
  ['Prose', 'https://prose.org/', ['mac', 'linux', 'windows', 'browser']],
];
const converse = ['Converse.js', 'https://conversejs.org/', ['browser']] as const;

const style = `:root{color-scheme:light dark;--ink:#1c1c1e;--paper:#fff;--soft:#5c5c66;--line:#c7c7cf;--accent:#0b57c4;--on-accent:#fff;--bad:#b3261e}
@media (prefers-color-scheme:dark){:root{--ink:#ececf1;--paper:#16161a;--soft:#a9a9b4;--line:#4a4a55;--accent:#8ab4ff;--on-accent:#10131a;--bad:#ff9d94}}
*{box-sizing:border-box}
body{margin:0;background:var(--paper);color:var(--ink);font:1.0625rem/1.5 system-ui,sans-serif}
main{max-width:36rem;margin:0 auto;padding:1.5rem 1rem 3rem}
h1{font-size:1.6rem;line-height:1.25;margin:.5rem 0 1rem;overflow-wrap:anywhere}
h2{font-size:1.15rem;margin:2.25rem 0 .5rem}
label{display:block;font-weight:600;margin-top:1rem}
input{width:100%;font:inherit;color:inherit;background:var(--paper);border:1px solid var(--line);border-radius:.5rem;padding:.65rem .75rem;margin-top:.25rem}
.hint,.end{color:var(--soft);font-size:.9375rem;margin:.25rem 0 0;overflow-wrap:anywhere}
.error{color:var(--bad);font-weight:600;border-left:.25rem solid var(--bad);padding-left:.75rem}
button,.button{display:inline-block;font:inherit;font-weight:600;text-decoration:none;color:var(--on-accent);background:var(--accent);border:0;border-radius:.5rem;padding:.7rem 1.25rem;margin-top:1.25rem;cursor:pointer}
a{color:var(--accent)}
:focus-visible{outline:3px solid var(--accent);outline-offset:2px}
svg{display:block;width:12rem;max-width:100%;height:auto;margin-top:1rem;border-radius:.5rem}
ul{padding-left:1.25rem}`;

const headers = {
  'content-security-policy': [
    "default-src 'none'",
    `style-src 'sha256-${createHash('sha256').update(style).digest('base64')}'`,
    "form-action 'self'",
    "base-uri 'none'",
    "frame-ancestors 'none'",
  ].join('; '),
  'referrer-policy': 'no-referrer',
  'x-frame-options': 'DENY',
  'cross-origin-opener-policy': 'same-origin',
  // links are for those who got them
  'x-robots-tag': 'noindex, nofollow',
};

function page(status: number, { place }: Site, heading: string, ...parts: readonly string[]): WebReply {
  const body = `<!doctype html>
<html lang="${text.language}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escapeText(text.title(place))}</title>
<style>${style}</style>
</head>
<body>
<main>
<h1>${escapeText(heading)}</h1>
${parts.filter((part) => part !== '').join('\n')}
</main>
</body>
</html>
`;
  return { status, type: 'text/html; charset=utf-8', headers, body };
}

const p = (content: string, name = ''): string =>
  `<p${name === '' ? '' : ` class="${name}"`}>${escapeText(content)}</p>`;

const link = (href: string, content: string, more = ''): string =>
  `<a href="${escapeAttr(href)}"${more}>${escapeText(content)}</a>`;

/** For an invitation that can be used. */
export function invitationPage(site: Site, invitation: Invitation, attempt?: Attempt): WebReply {
  const status = attempt === undefined ? 200 : attempt.problem === 'taken' ? 409 : 422;
  const inviter = invitation.inviter === undefined ? '' : (Jid.parse(invitation.inviter)?.local ?? '');
  const end = p(text.ends(new Date(invitation.expires).toUTCString()), 'end');
  switch (invitation.kind) {
    case 'reset': {
      const heading = text.reset.heading(`${invitation.user}@${site.domain}`);
      return page(status, site, heading, p(text.reset.lead), form(site, invitation, attempt), end);
    }
    case 'account':
      return page(
        status,
        site,
        text.account.heading(inviter, site.place),
        p(text.account.lead),
        section(text.form.heading, form(site, invitation, attempt)),
        section(
          text.app.heading,
          appLink(invitation, text.app.open),
          p(text.app.lead),
          appList(site),
          code(invitation),
        ),
        end,
      );
    case 'contact':
      return page(
        status,
        site,
        text.contact.heading(inviter),
        p(text.contact.lead(invitation.inviter ?? '', site.place)),
        appLink(invitation, text.contact.open),
        invitation.makesAccount ? section(text.form.headingOfContact, form(site, invitation, attempt)) : '',
        section(text.app.heading, p(text.app.lead), appList(site), code(invitation)),
        p(text.contact.nothing),
        end,
      );
  }
}

/** When the account is there, or the password is set. */
export function donePage(site: Site, account: string, isReset: boolean): WebReply {
  return page(
    200,
    site,
    isReset ? text.done.reset : text.done.account,
    p(isReset ? text.done.isReset(account) : text.done.isThere(account)),
    site.chat === undefined ? '' : `<p>${link(site.chat, text.done.chat, ' class="button"')}</p>`,
    p(text.done.next),
    appList(site),
  );
}

const statuses: Readonly<Record<PageProblem, number>> = {
  unknown: 404,
  expired: 410,
  used: 410,
  revoked: 410,
  busy: 503,
  'not-allowed': 403,
  'too-many': 429,
  insecure: 403,
  elsewhere: 403,
};

/** For an invitation that cannot be used, and for what is refused. */
export function problemPage(site: Site, problem: PageProblem): WebReply {
  const [heading, sentence] = text.problems[problem];
  const reply = page(statuses[problem], site, heading, p(sentence));
  const waits = problem === 'busy' || problem === 'too-many';
  return {
    ...reply,
    ...(waits && { headers: { ...headers, 'retry-after': '60' } }),
    ...(problem === 'unknown' && { isUnknown: true }),
  };
}

const section = (heading: string, ...parts: readonly string[]): string =>
  `<section>\n<h2>${escapeText(heading)}</h2>\n${parts.join('\n')}\n</section>`;

/** It is sent to the page's own address. */
function form(
  { domain, passwordLength, chat }: Site,
  { kind, user }: Invitation,
  attempt: Attempt | undefined,
): string {
  const isOfName = attempt?.problem === 'taken' || attempt?.problem === 'invalid-name';
  const bad = (isBad: boolean): string => (attempt !== undefined && isBad ? ' aria-invalid="true" autofocus' : '');
  const error =
    attempt === undefined
      ? ''
      : `<p class="error" role="alert" id="error">${escapeText(text.refused(attempt.problem, passwordLength))}</p>\n`;
  const describes = (hint: string, isBad: boolean): string =>
    `aria-describedby="${hint}${attempt !== undefined && isBad ? ' error' : ''}"`;
  const kept = user === undefined ? '' : ` value="${escapeAttr(user)}" readonly`;
  const given = user === undefined && attempt !== undefined ? ` value="${escapeAttr(attempt.user)}"` : kept;
  const name = `<label for="user">${escapeText(text.form.name)}</label>
<input id="user" name="user" type="text" required maxlength="256" autocomplete="username" autocapitalize="none" autocorrect="off" spellcheck="false" ${describes('user-hint', isOfName)}${given}${bad(isOfName)}>
<p class="hint" id="user-hint">${escapeText(text.form.nameHint(domain))}</p>
`;
  // for what keeps passwords
  const known = `<input type="hidden" name="user" autocomplete="username"${kept.replace(' readonly', '')}>\n`;
  const submit = kind === 'reset' ? text.reset.submit : chat === undefined ? text.form.submit : text.form.submitToChat;
  return `<form method="post" accept-charset="utf-8">
${error}${kind === 'reset' ? known : name}<label for="password">${escapeText(text.form.password)}</label>
<input id="password" name="password" type="password" required minlength="${passwordLength}" maxlength="1024" autocomplete="new-password" ${describes('password-hint', !isOfName)}${bad(!isOfName)}>
<p class="hint" id="password-hint">${escapeText(text.form.passwordHint(passwordLength))}</p>
<button type="submit">${escapeText(submit)}</button>
</form>`;
}

const appLink = ({ uri }: Invitation, content: string): string => `<p>${link(uri, content, ' class="button"')}</p>`;

function appList({ chat }: Site): string {
  const outside = ' rel="noreferrer noopener" target="_blank"';
  const items = [...apps, ...(chat === undefined ? [converse] : [])].map(
    ([name, href, systems]) =>
      `<li>${link(href, name, outside)} (${escapeText(systems.map((one) => text.app.systems[one]).join(', '))})</li>`,
  );
  return `<ul aria-label="${escapeAttr(text.app.list)}">\n${items.join('\n')}\n</ul>`;
}

const code = ({ page: address, uri }: Invitation): string =>
  `${qrSvg(address ?? uri, escapeAttr(text.app.codeLabel))}\n${p(text.app.code, 'hint')}`;
