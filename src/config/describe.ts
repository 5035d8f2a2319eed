// Configurations for reading: what holds and where it was said, and what is different between two of them.
import { formatOrigin, formatPath, type Origin, type Path } from './problems.ts';
import { type Config, hostSchema, serverSchema } from './server.ts';
import { leaves, type Tree } from './tree.ts';

/** One effective setting. */
export interface Described {
  readonly path: string;
  /** In the form of the file; secrets masked. */
  readonly value: unknown;
  /** `parley.yaml:3:7`, the name of a variable, `default` or `program`. */
  readonly origin: string;
}

function originText(origin: Origin): string {
  return origin.kind === 'default' || origin.kind === 'program' ? origin.kind : formatOrigin(origin);
}

/** The effective settings: those of the server, or those of one host. */
export function describe(config: Config, host?: string): readonly Described[] {
  const { source } = config;
  if (host !== undefined) {
    return leaves(hostSchema, source.hosts[host] ?? {}, { masked: true }).map(({ path, value }) => {
      const own = originOf(config, ['hosts', host, ...path]);
      return {
        path: formatPath(path),
        value,
        origin: originText(own.kind === 'default' ? originOf(config, path) : own),
      };
    });
  }
  const { hosts, ...rest } = source.effective as { hosts: Record<string, Tree> };
  const domains = Object.keys(hosts).map((domain) => ({
    path: formatPath(['hosts', domain]),
    value: Object.fromEntries(
      leaves(hostSchema, hosts[domain], { masked: true })
        .filter(({ path }) => originOf(config, ['hosts', domain, ...path]).kind !== 'default')
        .map(({ path, value }) => [formatPath(path), value]),
    ),
    origin: originText(originOf(config, ['hosts', domain])),
  }));
  const others = leaves(serverSchema, rest, { masked: true }).map(({ path, value }) => ({
    path: formatPath(path),
    value,
    origin: originText(originOf(config, path)),
  }));
  return [...domains, ...others];
}

/** Of the value, or of the list that it stands in. */
function originOf(config: Config, path: Path): Origin {
  return config.source.originOf(path);
}

/** A setting that differs. */
export interface Difference {
  readonly path: string;
  /** Whether the new value holds only after a restart. */
  readonly restart: boolean;
}

/** What a reload would change. Secrets are compared, not told. */
export function diff(before: Config, after: Config): readonly Difference[] {
  const found = new Map<string, Difference>();
  const compare = (path: Path, restart: boolean, a: unknown, b: unknown): void => {
    const text = formatPath(path);
    if (JSON.stringify(a) !== JSON.stringify(b)) found.set(text, { path: text, restart });
  };
  const index = (config: Config): Map<string, { path: Path; value: unknown; restart: boolean }> => {
    const { hosts: _, ...rest } = config.source.effective;
    return new Map(leaves(serverSchema, rest, { masked: false }).map((leaf) => [JSON.stringify(leaf.path), leaf]));
  };
  const [old, now] = [index(before), index(after)];
  for (const id of new Set([...old.keys(), ...now.keys()])) {
    const either = (now.get(id) ?? old.get(id))!;
    compare(either.path, either.restart, old.get(id)?.value, now.get(id)?.value);
  }
  for (const domain of new Set([...Object.keys(before.hosts), ...Object.keys(after.hosts)])) {
    const [a, b] = [before.source.hosts[domain], after.source.hosts[domain]];
    if (!a || !b) {
      compare(['hosts', domain], false, a, b);
      continue;
    }
    const values = (tree: Tree): Map<string, { path: Path; value: unknown }> =>
      new Map(leaves(hostSchema, tree, { masked: false }).map((leaf) => [JSON.stringify(leaf.path), leaf]));
    const [was, is] = [values(a), values(b)];
    for (const id of new Set([...was.keys(), ...is.keys()])) {
      const { path } = (is.get(id) ?? was.get(id))!;
      // a change at the top is told once, not for every host that follows it
      if (!found.has(formatPath(path)))
        compare(['hosts', domain, ...path], false, was.get(id)?.value, is.get(id)?.value);
    }
  }
  return [...found.values()];
}
