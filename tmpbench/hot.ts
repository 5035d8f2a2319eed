import { loadModules } from '../src/index.ts';
import { Server } from '../src/server.ts';
import { parseConfig } from '../src/config/load.ts';
import { parseElement } from '../src/xml/document.ts';
import { Jid } from '../src/xmpp/jid.ts';
const off = (process.argv[2] ?? '').split(',').filter((x) => x !== '');
const modules: Record<string, false> = { mam: false, carbons: false };
for (const name of off) modules[name] = false;
const config = parseConfig({ hosts: { 'verona.test': {} }, modules, database: 'memory', tls: { required: false }, s2s: { enabled: false }, limits: { enabled: false }, listen: { address: ['127.0.0.1'], c2s: 0, 'c2s-tls': null, s2s: null, 's2s-tls': null, component: null, http: null, https: null } } as never);
const server = (await Server.start(config, { modules: await loadModules(config), iterations: 1 } as never)) as any;
for (const user of ['romeo', 'juliet']) await server.hosts.get("verona.test").accounts.create(user, 'secret');
const router = server.router;
const sessions = server.sessions;
const host = server.hosts.get("verona.test");
let sent = 0;
const stream = { address: '', transport: 'plain', queuedBytes: 0, send: (x: string) => { sent += x.length; }, close() {} };
const a = await sessions.bind(host, Jid.of('romeo', 'verona.test', 'x'), stream, 'replace');
const b = await sessions.bind(host, Jid.of('juliet', 'verona.test', 'x'), stream, 'replace');
for (const [s, n] of [[a, 'romeo'], [b, 'juliet']] as const) await router.fromClient(s, parseElement(`<presence/>`));
await new Promise((r) => setTimeout(r, 200));
const xml = `<message to='juliet@verona.test/x' type='chat' id='abc'><body>${'x'.repeat(200)}</body><request xmlns='urn:xmpp:receipts'/><thread>abc</thread></message>`;
const elements = Array.from({ length: 64 }, () => parseElement(xml));
const N = 300_000;
let best = Infinity;
for (let round = 0; round < Number(process.env.ROUNDS ?? 7); round++) {
  const c = process.cpuUsage();
  const t = process.hrtime.bigint();
  for (let i = 0; i < N; i++) { const r = router.fromClient(a, elements[i & 63]); if (r !== undefined) await r; }
  const u = process.cpuUsage(c);
  best = Math.min(best, Number(process.hrtime.bigint() - t) / N, ((u.user + u.system) * 1000) / N);
}
console.log((best).toFixed(0), 'ns', off.join(','), sent > 0);
setTimeout(() => process.exit(0), 50);
