// What the tests need beyond npm, from Debian's packages. As root they are installed; otherwise what is missing is named, and
// the tests do not begin: nothing is skipped silently. Quiet when all is there.
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { delimiter, join } from 'node:path';

/** Each with how to see that it is there, and what it is for. */
const packages = [
  {
    name: 'postgresql',
    isThere: hasPostgres,
    why: 'the storage contract and the fault tests run on a Postgres of the system too',
  },
  {
    name: 'python3-slixmpp',
    isThere: () => canImport('slixmpp'),
    why: 'end-to-end tests with a client that others wrote',
  },
  {
    name: 'chromium',
    isThere: () => isInPath('chromium'),
    why: 'end-to-end tests with a client in a browser',
  },
  {
    name: 'dnsmasq-base',
    isThere: () => isProgram('dnsmasq'),
    why: 'a name server on loopback for the tests of federation',
  },
  {
    name: 'prosody',
    isThere: () => isProgram('prosody'),
    why: 'federation with a server that others wrote',
  },
  {
    name: 'lua-unbound',
    isThere: () => existsSync('/usr/share/doc/lua-unbound'),
    why: 'lets Prosody ask the name server of the tests',
  },
  {
    name: 'ejabberd',
    isThere: () => isProgram('ejabberdctl'),
    why: 'federation with a server that others wrote',
  },
  {
    name: 'redis-server',
    isThere: () => isProgram('redis-server'),
    why: 'what joins the nodes of a cluster',
  },
  {
    name: 'biboumi',
    isThere: () => isProgram('biboumi'),
    why: 'a gateway that others wrote, as a component',
  },
  {
    name: 'profanity',
    isThere: () => isProgram('profanity'),
    why: 'end-to-end tests with a client in a terminal',
  },
  {
    name: 'coturn',
    isThere: () => isProgram('turnserver'),
    why: 'a TURN server, for credentials that are to let somebody relay',
  },
];

function isProgram(name) {
  return ['/usr/sbin', '/usr/bin'].some((folder) => existsSync(`${folder}/${name}`));
}

function hasPostgres() {
  const folder = '/usr/lib/postgresql';
  return existsSync(folder) && readdirSync(folder).some((version) => existsSync(`${folder}/${version}/bin/initdb`));
}

function isInPath(command) {
  return (process.env.PATH ?? '').split(delimiter).some((folder) => existsSync(join(folder, command)));
}

/** Debian's own Python: another one that comes first in PATH does not see Debian's packages. */
function canImport(module) {
  return spawnSync('/usr/bin/python3', ['-c', `import ${module}`], { stdio: 'ignore' }).status === 0;
}

function run(command, ...args) {
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  const { status, stdout, stderr, error } = spawnSync(command, args, { env, encoding: 'utf8' });
  return { ok: status === 0, output: error === undefined ? `${stdout}${stderr}` : error.message };
}

const missing = packages.filter(({ isThere }) => !isThere());
if (missing.length > 0) {
  const names = missing.map(({ name }) => name);
  if (process.getuid?.() === 0) {
    console.log(`installing from Debian's packages: ${names.join(' ')}`);
    const update = run('apt-get', 'update', '-q');
    const install = run('apt-get', 'install', '-q', '-y', '--no-install-recommends', ...names);
    if (!install.ok) console.error(update.ok ? install.output : `${update.output}\n${install.output}`);
  }
  const still = missing.filter(({ isThere }) => !isThere());
  if (still.length > 0) {
    console.error('The tests need packages that are not there:');
    for (const { name, why } of still) console.error(`  ${name}: ${why}`);
    console.error(`Install them with: sudo apt-get install ${still.map(({ name }) => name).join(' ')}`);
    process.exit(1);
  }
}
