// What the operator of the server does in a scene: commands for administrators, and roles.
import { parse as parseYaml } from 'yaml';
import type { Stage } from './stage.ts';
import { fillKnown } from './template.ts';

/** On the last node; or at the server of a domain. Its arguments are written as YAML. */
export async function runCommand(
  stage: Stage,
  [domain, name, args = '{}']: readonly (string | undefined)[],
): Promise<void> {
  const given = parseYaml(fillKnown(args, stage.names)) as object;
  const result = await stage.world.run(name!, given, domain && fillKnown(domain, stage.names));
  stage.note('operator', '>', `${name} ${JSON.stringify(given)}: ${JSON.stringify(result)}`);
  await stage.quiesce();
}

export async function giveRole(stage: Stage, [name, role]: readonly string[]): Promise<void> {
  const { user, domain } = stage.person(name!);
  await stage.world.run('user role', { jid: `${user}@${domain}`, role }, domain);
  await stage.quiesce();
}
