// The pages of the web client: itself, and the sentence that stands for it where it is not installed. And what they may load (CSP).
import type { WebReply } from '../../core/web.ts';
import { escapeAttr, escapeText } from '../../xml/escape.ts';

/** Which pictures, sounds, videos and encrypted files of other servers are loaded. */
export type Media = 'own' | 'all';

export interface PageParts {
  readonly domain: string;
  readonly version: string;
  /** Origins that files are sent to and fetched from, besides the page's own. */
  readonly origins: readonly string[];
  readonly media: Media;
}

const html = 'text/html; charset=utf-8';
/** What all pages here have. */
const common = {
  'referrer-policy': 'no-referrer',
  'x-frame-options': 'DENY',
  'cross-origin-opener-policy': 'same-origin',
};

/** Addresses are relative: the server may be below a path of a proxy. */
export function chatPage({ domain, version, origins, media }: PageParts): WebReply {
  const at = `chat/assets/${version}`;
  const title = escapeText(`Chat at ${domain}`);
  // the client looks for its own script in the page, to know where its other parts are
  const body = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${title}</title>
<link rel="icon" href="${at}/images/favicon.ico">
<link rel="stylesheet" href="${at}/converse.min.css">
<link rel="stylesheet" href="${at}/parley/chat.css">
<script type="module" src="${at}/converse.min.js"></script>
<script type="module" src="${at}/parley/start.js"></script>
</head>
<body class="converse-fullscreen">
<main id="notice"><noscript>The chat in the browser takes JavaScript. Any XMPP client will do instead.</noscript></main>
</body>
</html>
`;
  return { status: 200, type: html, headers: { ...common, 'content-security-policy': policy(origins, media) }, body };
}

/** What the client's loader puts into the page for styles that are in its file: nothing, and the map of nothing. */
const emptyStyles = [
  "'sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU='",
  "'sha256-JRf3eZJIF59VkE1tlxlBPiCQXjGJ1uE88pEYh49RtTY='",
];

/** What the page may do; whatever is not named it may not. */
function policy(origins: readonly string[], media: Media): string {
  const own = ["'self'", ...origins].join(' ');
  const others = media === 'own' ? '' : ' https:';
  const rules = {
    'default-src': "'none'",
    // WebAssembly is what OMEMO is made of
    'script-src': "'self' 'wasm-unsafe-eval'",
    'style-src': `'self' ${emptyStyles.join(' ')}`,
    // colours of people and widths of bars are attributes; they can load nothing that is not allowed below
    'style-src-attr': "'unsafe-inline'",
    'font-src': "'self'",
    'img-src': `${own} data: blob:${others}`,
    'media-src': `${own} data: blob:${others}`,
    // also WebSockets, and encrypted files
    'connect-src': `${own} data: blob:${others}`,
    'base-uri': "'none'",
    'form-action': "'none'",
    'frame-ancestors': "'none'",
  };
  return Object.entries(rules)
    .map(([name, value]) => `${name} ${value}`)
    .join('; ');
}

interface Link {
  readonly href: string;
  readonly text: string;
}

/** A page of one sentence, and links. */
export function plainPage(status: number, title: string, sentence: string, links: readonly Link[]): WebReply {
  const items = links.map(({ href, text }) => `<li><a href="${escapeAttr(href)}">${escapeText(text)}</a></li>\n`);
  const body = `<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><title>${escapeText(title)}</title></head>
<body>
<h1>${escapeText(title)}</h1>
<p>${escapeText(sentence)}</p>
<ul>
${items.join('')}</ul>
</body>
</html>
`;
  const headers = {
    ...common,
    'content-security-policy': "default-src 'none'; base-uri 'none'; frame-ancestors 'none'",
  };
  return { status, type: html, headers, body };
}
