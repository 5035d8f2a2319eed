// Which sections of which specifications the scenarios check: `npx tsx test/kit/coverage.ts` prints the table.
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { readScenario, type Scene } from './scenario.ts';

/** The folder of scenarios. */
export const scenarioFolder = fileURLToPath(new URL('../scenarios/', import.meta.url));

/** Every scene there is, by file. */
export function readScenes(folder: string = scenarioFolder): ReadonlyMap<string, readonly Scene[]> {
  const files = readdirSync(folder)
    .filter((name) => name.endsWith('.scenario'))
    .sort();
  return new Map(files.map((name) => [name, readScenario(name, readFileSync(`${folder}${name}`, 'utf8'))]));
}

/** A table in Markdown: specification, section, the scenes that name it. */
export function coverageTable(scenes: Iterable<Scene>): string {
  const rows = new Map<string, Map<string, string[]>>();
  for (const scene of scenes) {
    for (const { document, section } of scene.references) {
      const sections = rows.get(document) ?? new Map<string, string[]>();
      rows.set(document, sections);
      const names = sections.get(section) ?? [];
      sections.set(section, names);
      const name = `${scene.file}: ${scene.name}`;
      if (!names.includes(name)) names.push(name);
    }
  }
  const byNumber = new Intl.Collator('en', { numeric: true }).compare;
  let table = '';
  for (const document of [...rows.keys()].sort(byNumber)) {
    table += `\n## ${document}\n\n| Section | Scenes |\n|---|---|\n`;
    const sections = rows.get(document)!;
    for (const section of [...sections.keys()].sort(byNumber)) {
      table += `| ${section} | ${sections.get(section)!.join('; ').replace(/\|/g, '\\|')} |\n`;
    }
  }
  return `# What the scenarios cover\n${table}`;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  process.stdout.write(coverageTable([...readScenes().values()].flat()));
}
