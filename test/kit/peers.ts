// Servers that others wrote, as remote domains: Prosody and ejabberd of Debian's packages, each in a process of its own on loopback,
// and dnsmasq to say where everybody is.
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import type { TestCertificate } from './certificates.ts';
import { type Address, StreamClient } from './client.ts';
import { logIn, openStream } from './login.ts';

/** How long a peer may take to start, in milliseconds. */
const START = 30_000;
const HERE = '127.0.0.1';

/** A port that nobody listens on. Somebody else may take it until it is used; on loopback that does not happen. */
export async function freePort(): Promise<number> {
  const server = createServer();
  server.listen(0, HERE);
  await once(server, 'listening');
  const { port } = server.address() as { readonly port: number };
  server.close();
  await once(server, 'close');
  return port;
}

/** A program that runs until it is stopped; what it says is kept. */
class Program {
  output = '';
  private readonly child: ChildProcess;
  private readonly ended: Promise<unknown>;

  constructor(command: string, args: readonly string[], folder: string, env: Readonly<Record<string, string>> = {}) {
    const { PATH = '/usr/bin:/bin' } = process.env;
    this.child = spawn(command, args, {
      cwd: folder,
      env: { PATH: `${PATH}:/usr/sbin:/sbin`, HOME: folder, LANG: 'C.UTF-8', ...env },
    });
    this.ended = new Promise((resolve) => {
      this.child.once('close', resolve);
      this.child.once('error', (error) => {
        this.output += `${command} does not run: ${error.message}; see scripts/test-deps.js\n`;
        resolve(undefined);
      });
    });
    for (const stream of [this.child.stdout, this.child.stderr]) {
      stream?.setEncoding('utf8').on('data', (text: string) => {
        this.output += text;
      });
    }
  }

  get isRunning(): boolean {
    return this.child.pid !== undefined && this.child.exitCode === null && this.child.signalCode === null;
  }

  /** Waits until a port is listened on. @throws Error with what the program said */
  async listensOn(port: number, log: () => string = () => ''): Promise<void> {
    const end = Date.now() + START;
    while (!(await accepts(port))) {
      if (!this.isRunning || Date.now() > end) throw new Error(`it does not listen on ${port}\n${this.output}${log()}`);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }

  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
    if (!this.isRunning) return;
    this.child.kill(signal);
    const timer = setTimeout(() => this.child.kill('SIGKILL'), 10_000);
    await this.ended;
    clearTimeout(timer);
  }
}

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, HERE);
    const done = (answer: boolean): void => {
      socket.destroy();
      resolve(answer);
    };
    socket.once('connect', () => done(true));
    socket.once('error', () => done(false));
  });
}

function folderFor(name: string): string {
  return mkdtempSync(join(tmpdir(), `parley ${name} `));
}

/** One SRV record; the machine is this one. */
export interface NamedPlace {
  readonly domain: string;
  readonly port: number;
  readonly priority?: number;
  readonly isDirectTls?: boolean;
}

/** A name server that knows what it was told, and nothing of the world. */
export class NameServerProgram implements AsyncDisposable {
  readonly port: number;
  private readonly program: Program;
  private readonly folder: string;

  private constructor(port: number, program: Program, folder: string) {
    this.port = port;
    this.program = program;
    this.folder = folder;
  }

  static async start(places: readonly NamedPlace[]): Promise<NameServerProgram> {
    const port = await freePort();
    const folder = folderFor('dns');
    const lines = [
      `port=${port}`,
      `listen-address=${HERE}`,
      'bind-interfaces',
      'no-resolv',
      'no-hosts',
      'no-negcache',
      'local=/example/',
      `pid-file=${join(folder, 'pid')}`,
      ...(process.getuid?.() === 0 ? ['user=root'] : []),
      // ejabberd asks us for SRV records only, and the system for addresses: "localhost" is what both know
      `host-record=localhost,${HERE}`,
      ...places.map(({ domain, port: at, priority = 0, isDirectTls = false }) => {
        const service = isDirectTls ? '_xmpps-server' : '_xmpp-server';
        return `srv-host=${service}._tcp.${domain},localhost,${at},${priority}`;
      }),
    ];
    const file = join(folder, 'dnsmasq.conf');
    writeFileSync(file, `${lines.join('\n')}\n`);
    const program = new Program('dnsmasq', ['--keep-in-foreground', `--conf-file=${file}`], folder);
    await program.listensOn(port);
    return new NameServerProgram(port, program, folder);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.program.stop();
    rmSync(this.folder, { recursive: true, force: true });
  }
}

export interface PeerOptions {
  readonly domain: string;
  readonly certificate: TestCertificate;
  /** PEM of the authority that the peer trusts. */
  readonly ca: string;
  readonly dnsPort: number;
  readonly s2sPort: number;
  /** Whether servers are to come with TLS from the first byte (XEP-0368), and only so. */
  readonly isDirectTls?: boolean;
  /** Whether the peer refuses whoever has no valid certificate. */
  readonly isStrict?: boolean;
  /** Its accounts have nodes (XEP-0163). */
  readonly hasNodes?: boolean;
  /** Accounts go in and out of it in files (XEP-0227): by {@link Prosody.migrate} and {@link Ejabberd.run}. */
  readonly isPortable?: boolean;
}

export abstract class PeerServer implements AsyncDisposable {
  readonly options: PeerOptions;
  protected readonly folder: string;
  protected clientPort = 0;
  private program: Program | undefined;

  constructor(name: string, options: PeerOptions) {
    this.options = options;
    this.folder = folderFor(name);
  }

  abstract readonly name: string;
  /** The domain of its rooms. */
  abstract readonly rooms: string;
  /** What it wrote about itself. */
  abstract log(): string;
  protected abstract prepare(): Promise<void>;
  protected abstract launch(): Program;

  get address(): Address {
    return { address: HERE, port: this.clientPort };
  }

  async start(): Promise<void> {
    if (this.clientPort === 0) {
      this.clientPort = await freePort();
      const { certificate, ca } = this.options;
      writeFileSync(join(this.folder, 'ca.crt'), ca);
      writeFileSync(join(this.folder, 'server.crt'), certificate.certificate);
      writeFileSync(join(this.folder, 'server.key'), certificate.key);
      writeFileSync(join(this.folder, 'server.pem'), `${certificate.key}\n${certificate.certificate}`);
      await this.prepare();
    }
    this.program = this.launch();
    await this.program.listensOn(this.clientPort, () => this.log());
    await this.program.listensOn(this.options.s2sPort, () => this.log());
    // it listens before it has everything that answers, and its domain
    for (const end = Date.now() + START; ; ) {
      const client = await StreamClient.connect(this.address);
      client.open(this.options.domain);
      const header = await client.next(START);
      const first = await client.next(START);
      await client.destroy();
      if (header?.kind === 'header' && first?.kind === 'element' && first.element.name === 'stream:features') return;
      if (Date.now() > end) throw new Error(`${this.name} does not answer\n${this.log()}`);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }

  async stop(signal?: NodeJS.Signals): Promise<void> {
    await this.program?.stop(signal);
  }

  /** Makes an account from a client (XEP-0077), and logs in. */
  async enter(user: string, resource: string): Promise<{ readonly client: StreamClient; readonly jid: string }> {
    const { domain } = this.options;
    const maker = await StreamClient.connect(this.address);
    await openStream(maker, domain);
    maker.write(
      `<iq type='set' id='r'><query xmlns='jabber:iq:register'><username>${user}</username><password>secret</password></query></iq>`,
    );
    const answer = await maker.next(10_000);
    await maker.destroy();
    const isMade = answer?.kind === 'element' && answer.element.attrs.type === 'result';
    if (!isMade)
      throw new Error(`no account: ${answer?.kind === 'element' ? answer.element : answer?.kind}\n${this.log()}`);
    return this.comeBack(user, resource);
  }

  /** Logs in where there is an account. */
  comeBack(user: string, resource: string): Promise<{ readonly client: StreamClient; readonly jid: string }> {
    return logIn(this.address, { domain: this.options.domain, user, password: 'secret', resource });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
    rmSync(this.folder, { recursive: true, force: true });
  }
}

export class Prosody extends PeerServer {
  readonly name = 'Prosody';
  readonly rooms: string;

  constructor(options: PeerOptions) {
    super('prosody', options);
    this.rooms = `rooms.${options.domain}`;
  }

  log(): string {
    return read(join(this.folder, 'prosody.log'));
  }

  private get data(): string {
    return join(this.folder, 'data');
  }

  /** Takes its accounts, while it does not run, out into files of XEP-0227 or in from them: `name@domain.xml` for each. @throws Error with what its migrator says */
  migrate(way: 'out' | 'in', files: string): void {
    mkdirSync(this.data, { recursive: true });
    const stores = ['accounts', 'roster', 'vcard', 'private', 'archive-archive', 'pep-pubsub'];
    const named = stores.map((name) => `"${name}"`).join('; ');
    const hosts = `hosts = { ["${this.options.domain}"] = { ${named} } }`;
    const [from, to] = [`type = "internal"; path = "${this.data}"`, `type = "xep0227"; path = "${files}"`];
    const config = join(this.folder, 'migrator.cfg.lua');
    writeFileSync(
      config,
      way === 'out'
        ? `input { ${hosts}; ${from} }\noutput { ${to} }\n`
        : `input { ${hosts}; ${to} }\noutput { ${from} }\n`,
    );
    // it has such files where Prosody of the system has its data, which is written into it
    const migrator = readFileSync('/usr/bin/prosody-migrator', 'utf8').replace(
      /^CFG_DATADIR='[^']*'/m,
      `CFG_DATADIR='${files}'`,
    );
    const script = join(this.folder, 'migrator');
    writeFileSync(script, migrator, { mode: 0o755 });
    // who is root is not, while it runs
    if (process.getuid?.() === 0) spawnSync('chmod', ['-R', 'a+rwX', this.folder, dirname(files)]);
    const { status, stdout, stderr } = spawnSync(script, ['--keep-going', '--config', config], { encoding: 'utf8' });
    if (status !== 0) throw new Error(`prosody-migrator: ${stdout}${stderr}`);
  }

  protected async prepare(): Promise<void> {
    const { domain, dnsPort, s2sPort, isStrict = false, isDirectTls = false } = this.options;
    const { hasNodes = false, isPortable = false } = this.options;
    const { folder } = this;
    mkdirSync(this.data, { recursive: true });
    writeFileSync(
      join(folder, 'prosody.cfg.lua'),
      `run_as_root = true
pidfile = "${folder}/prosody.pid"
data_path = "${folder}/data"
log = { { levels = { min = "debug" }, to = "file", filename = "${folder}/prosody.log" } }
interfaces = { "${HERE}" }
local_interfaces = { "${HERE}" }
c2s_ports = { ${this.clientPort} }
c2s_direct_tls_ports = {}
s2s_ports = { ${isDirectTls ? '' : s2sPort} }
s2s_direct_tls_ports = { ${isDirectTls ? s2sPort : ''} }
component_ports = {}
http_ports = {}
https_ports = {}
c2s_require_encryption = false
allow_unencrypted_plain_auth = true
s2s_require_encryption = true
s2s_secure_auth = ${isStrict}
use_ipv6 = false
unbound = { resolvconf = false; hoststxt = false; forward = { "${HERE}@${dnsPort}" }; options = { ["do-not-query-localhost:"] = "no" } }
archive_expires_after = "never"
authentication = "${isPortable ? 'internal_hashed' : 'internal_plain'}"
storage = "internal"
allow_registration = true
ssl = { key = "${folder}/server.key"; certificate = "${folder}/server.crt"; cafile = "${folder}/ca.crt" }
modules_enabled = { "disco"; "roster"; "saslauth"; "tls"; "dialback"; "register_ibr"; "ping"; "smacks"; "offline"; ${isPortable ? '"private"; "vcard_legacy"; "mam"; ' : ''} "s2s_bidi"${hasNodes ? '; "pep"' : ''} }
modules_disabled = { "posix" }
VirtualHost "${domain}"
Component "${this.rooms}" "muc"
  restrict_room_creation = false
`,
    );
  }

  protected launch(): Program {
    return new Program('prosody', ['--config', join(this.folder, 'prosody.cfg.lua'), '-F'], this.folder);
  }
}

export class Ejabberd extends PeerServer {
  readonly name = 'ejabberd';
  readonly rooms: string;

  constructor(options: PeerOptions) {
    super('ejabberd', options);
    this.rooms = `rooms.${options.domain}`;
  }

  private apiPort = 0;

  /** Runs one of its commands for administrators. @throws Error with what it says */
  async run(command: string, args: object): Promise<void> {
    const body = JSON.stringify(args);
    const answer = await fetch(`http://${HERE}:${this.apiPort}/api/${command}`, { method: 'POST', body });
    if (!answer.ok) throw new Error(`${command}: ${answer.status} ${await answer.text()}\n${this.log()}`);
  }

  log(): string {
    return read(join(this.folder, 'log', 'ejabberd.log'));
  }

  protected async prepare(): Promise<void> {
    const { domain, dnsPort, s2sPort, isStrict = false, isDirectTls = false } = this.options;
    const { hasNodes = false, isPortable = false } = this.options;
    const { folder } = this;
    if (isPortable) this.apiPort = await freePort();
    for (const name of ['log', 'spool']) mkdirSync(join(folder, name));
    writeFileSync(
      join(folder, 'inetrc'),
      `{lookup, [dns]}.\n{resolv_conf, ""}.\n{hosts_file, ""}.\n{nameserver, {127,0,0,1}, ${dnsPort}}.\n`,
    );
    writeFileSync(
      join(folder, 'ejabberd.yml'),
      `loglevel: debug
hosts: ["${domain}"]
certfiles: ["${folder}/server.pem"]
ca_file: "${folder}/ca.crt"
s2s_use_starttls: required
s2s_timeout: 60
outgoing_s2s_families: [ipv4]
auth_password_format: ${isPortable ? 'scram' : 'plain'}
listen:
  - { port: ${this.clientPort}, ip: "${HERE}", module: ejabberd_c2s, max_stanza_size: 262144, starttls: true, shaper: none }
  - { port: ${s2sPort}, ip: "${HERE}", module: ejabberd_s2s_in, tls: ${isDirectTls}, max_stanza_size: 524288 }
${isPortable ? `  - { port: ${this.apiPort}, ip: "${HERE}", module: ejabberd_http, request_handlers: { /api: mod_http_api } }\napi_permissions: { all: { from: [mod_http_api], who: all, what: "*" } }\n` : ''}acl: { local: { user_regexp: "" } }
access_rules: { local: { allow: local }, register: { allow: all } }
registration_timeout: infinity
modules:
  mod_disco: {}
  mod_muc: { host: "${this.rooms}", access_create: all }
  mod_offline: {}
  mod_ping: {}
  mod_register: { access: register, ip_access: all }
  mod_roster: {}
${isStrict ? '' : '  mod_s2s_dialback: {}\n'}  mod_stream_mgmt: {}
${isPortable ? '  mod_http_api: {}\n  mod_admin_extra: {}\n  mod_private: {}\n  mod_vcard: {}\n  mod_privacy: {}\n  mod_blocking: {}\n' : ''}${hasNodes ? '  mod_caps: {}\n  mod_pubsub: { plugins: [flat, pep] }\n' : ''}`,
    );
  }

  protected launch(): Program {
    const { folder } = this;
    return new Program(
      'erl',
      ['-noinput', '+S', '1:1', '+sbwt', 'none', '-mnesia', 'dir', `"${folder}/spool"`, '-s', 'ejabberd'],
      folder,
      {
        ERL_LIBS: ejabberdLibraries(),
        ERL_INETRC: join(folder, 'inetrc'),
        EJABBERD_CONFIG_PATH: join(folder, 'ejabberd.yml'),
        EJABBERD_LOG_PATH: join(folder, 'log', 'ejabberd.log'),
      },
    );
  }
}

/** Debian puts them below a folder that is named after the machine's architecture. */
function ejabberdLibraries(): string {
  for (const name of readdirSync('/usr/lib')) {
    const folder = join('/usr/lib', name);
    if (/^\w+-linux-/.test(name) && readdirSync(folder).some((one) => one.startsWith('ejabberd-'))) return folder;
  }
  return dirname('/usr/lib');
}

function read(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return '';
  }
}
