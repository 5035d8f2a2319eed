// STUN and TURN, as the operator sees them: whether the services that clients are told of do what they should, and a configuration
// for coturn that fits ours.
import { BlockList, isIP, isIPv6 } from 'node:net';
import { type ExternalService, portOf } from '../config/external-services.ts';
import type { Config } from '../config/server.ts';
import type { StunAddress } from '../net/stun.ts';
import { TurnClient, TurnRefused, type TurnTarget } from '../net/turn-client.ts';
import { turnCredentials } from '../xmpp/turn-credentials.ts';
import { type Check, fail, ok, warn } from './check.ts';

/** What a relay has done. */
export interface RelayReport {
  /** The address that it gave. */
  readonly relayed: StunAddress;
  /** Whether a datagram came from one such address to another. */
  readonly relays: boolean;
}
/** The parts that tests replace. */
export interface RelayParts {
  /** The addresses of a name. */
  addresses(name: string): Promise<readonly string[]>;
  /** @throws Error where there is no answer */
  bind(target: TurnTarget): Promise<StunAddress>;
  /** @throws TurnRefused, Error where there is no answer */
  relay(target: TurnTarget, username: string, password: string): Promise<RelayReport>;
}

/** Every service, once, however many hosts tell of it. */
function servicesOf(config: Config): ExternalService[] {
  const all = Object.values(config.hosts).flatMap((settings) => settings['external-services']);
  return [...new Map(all.map((service) => [JSON.stringify(service), service])).values()];
}

/** Whether each service answers, lets in whom it should, and relays. */
export async function checkTurn(config: Config, parts: RelayParts, now: number): Promise<readonly Check[]> {
  const checks = await Promise.all(servicesOf(config).map((service) => checkService(service, parts, now)));
  return checks.flat();
}

async function checkService(service: ExternalService, parts: RelayParts, now: number): Promise<Check[]> {
  const { type, host, transport } = service;
  const subject = `${type} ${host}:${portOf(service)} ${transport}`;
  // (what DTLS is for nobody implements here; clients that speak it are rare)
  if (type.endsWith('s') && transport === 'udp') {
    return [warn(subject, 'TLS over UDP (DTLS) is not looked at', 'most clients want transport: tcp for it')];
  }
  let address: string | undefined;
  try {
    address = isIP(host) !== 0 ? host : host === 'localhost' ? '127.0.0.1' : (await parts.addresses(host))[0];
  } catch (error) {
    return [fail(subject, `the resolver does not answer: ${text(error)}`, 'check "dns.servers"')];
  }
  if (address === undefined) return [fail(subject, `${host} has no address`, `add an address (A, AAAA) for ${host}`)];
  const target: TurnTarget = {
    address,
    port: portOf(service),
    transport,
    tls: type.endsWith('s') ? { name: host } : undefined,
  };
  const checks = isPrivate(address) ? [warn(subject, `${address} is of a private network`, publicFix)] : [];
  try {
    checks.push(await tryIt(subject, service, target, parts, now));
  } catch (error) {
    checks.push(refusal(subject, error, service));
  }
  return checks;
}

const publicFix = 'clients elsewhere cannot reach it; tell a public address or a name of one';

async function tryIt(
  subject: string,
  { type, secret, username, password }: ExternalService,
  target: TurnTarget,
  parts: RelayParts,
  now: number,
): Promise<Check> {
  if (type.startsWith('stun')) return ok(subject, `answers; it sees ${(await parts.bind(target)).address}`);
  const made = secret === null ? undefined : turnCredentials(secret, 'doctor', now + 60_000);
  const { relayed, relays } = await parts.relay(
    target,
    made?.username ?? username ?? '',
    made?.password ?? password ?? '',
  );
  const at = isIPv6(relayed.address) ? `[${relayed.address}]:${relayed.port}` : `${relayed.address}:${relayed.port}`;
  if (isPrivate(relayed.address) && !isPrivate(target.address)) {
    return warn(
      subject,
      `relays at ${at}, which is of a private network`,
      'set external-ip=PUBLIC/PRIVATE in the configuration of coturn',
    );
  }
  if (relays) return ok(subject, `relays at ${at}`);
  return warn(
    subject,
    `gives ${at}, but nothing gets through from there to another such address`,
    'let UDP to its ports (min-port to max-port of coturn) through the firewall',
  );
}

function refusal(subject: string, error: unknown, { secret }: ExternalService): Check {
  if (error instanceof TurnRefused && error.code === 401) {
    const same = 'set static-auth-secret of coturn to the same as "secret", and both clocks right';
    return fail(
      subject,
      'refuses the credentials',
      secret === null ? 'give the username and password that it knows' : same,
    );
  }
  return fail(subject, text(error), 'look whether it runs there, and whether a firewall is in the way');
}

const text = (error: unknown): string => (error instanceof Error ? error.message : String(error));

/** What the internet has no way to (RFC 1918, 4193, 6598, 6890). */
const privateNetworks: readonly (readonly [network: string, bits: number])[] = [
  ['0.0.0.0', 8],
  ['10.0.0.0', 8],
  ['100.64.0.0', 10],
  ['127.0.0.0', 8],
  ['169.254.0.0', 16],
  ['172.16.0.0', 12],
  ['192.0.0.0', 24],
  ['192.168.0.0', 16],
  ['198.18.0.0', 15],
  ['240.0.0.0', 4],
  ['::1', 128],
  ['fc00::', 7],
  ['fe80::', 10],
];

function isPrivate(address: string): boolean {
  const list = new BlockList();
  for (const [network, bits] of privateNetworks) list.addSubnet(network, bits, familyOf(network));
  return list.check(address, familyOf(address));
}

const familyOf = (address: string): 'ipv4' | 'ipv6' => (isIPv6(address) ? 'ipv6' : 'ipv4');

/** Asks for two addresses, and sends from one to the other. */
export async function relay(target: TurnTarget, username: string, password: string): Promise<RelayReport> {
  const one = await TurnClient.connect(target);
  const other = await TurnClient.connect(target).catch((error: unknown) => {
    one.close();
    throw error;
  });
  try {
    const relayed = await one.allocate(username, password);
    const second = await other.allocate(username, password);
    return { relayed, relays: await passes(one, relayed, other, second) };
  } finally {
    one.close();
    other.close();
  }
}

async function passes(one: TurnClient, at: StunAddress, other: TurnClient, from: StunAddress): Promise<boolean> {
  try {
    await one.permit(from);
    await other.permit(at);
  } catch (error) {
    // (it may have reasons not to reach its own address)
    if (error instanceof TurnRefused) return false;
    throw error;
  }
  other.send(at, Buffer.from('parley'));
  return one.arrives();
}

export async function bind(target: TurnTarget): Promise<StunAddress> {
  const client = await TurnClient.connect(target);
  try {
    return await client.bind();
  } finally {
    client.close();
  }
}

/** `turnserver.conf` for the TURN services of a host that share a secret; undefined where there is none. */
export function coturnConfig(config: Config, domain: string): string | undefined {
  const services = (config.hosts[domain]?.['external-services'] ?? []).filter(
    ({ type, secret }) => type.startsWith('turn') && secret !== null,
  );
  const plain = services.find(({ type }) => type === 'turn');
  const secure = services.find(({ type }) => type === 'turns');
  if (services.length === 0) return undefined;
  const denied = privateNetworks.map(([network, bits]) => `denied-peer-ip=${rangeOf(network, bits)}`);
  return [
    `# turnserver.conf of coturn, as the TURN services of ${domain} need it (parley turn print-coturn).`,
    ...(plain === undefined ? [] : [`listening-port=${portOf(plain)}`]),
    ...(secure === undefined
      ? ['no-tls', 'no-dtls']
      : [
          `tls-listening-port=${portOf(secure)}`,
          `cert=/etc/coturn/${secure.host}.crt`,
          `pkey=/etc/coturn/${secure.host}.key`,
        ]),
    '# behind NAT: external-ip=PUBLIC/PRIVATE',
    `realm=${domain}`,
    'use-auth-secret',
    ...[...new Set(services.map(({ secret }) => `static-auth-secret=${secret}`))],
    'fingerprint',
    '# one call takes two or three; a name stands for one account for a day',
    'user-quota=24',
    'total-quota=1200',
    'stale-nonce=600',
    'min-port=49152',
    'max-port=65535',
    'no-cli',
    'no-tcp-relay',
    'no-multicast-peers',
    'no-software-attribute',
    'no-tlsv1',
    'no-tlsv1_1',
    '# nobody gets into networks of yours through it; allowed-peer-ip=ADDRESS makes an exception',
    ...denied,
    '',
  ].join('\n');
}

/** A network as coturn writes it: its first and last address. */
function rangeOf(network: string, bits: number): string {
  if (isIPv6(network)) {
    if (bits === 128) return network;
    const first = Number.parseInt(network.slice(0, 4), 16);
    const last = first | ((1 << (16 - bits)) - 1);
    return `${network}-${last.toString(16)}${':ffff'.repeat(7)}`;
  }
  const parts = network.split('.').map(Number);
  const start = parts.reduce((sum, part) => sum * 256 + part, 0);
  const end = start + 2 ** (32 - bits) - 1;
  return `${network}-${[24, 16, 8, 0].map((shift) => Math.floor(end / 2 ** shift) % 256).join('.')}`;
}
