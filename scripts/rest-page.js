// The part of docs/rest.md that is made from the table of endpoints: what is asked how, and what is left out.
import { endpoints, leftOut } from '../src/modules/rest-api/table.ts';

const BEGIN = '<!-- generated: npm run docs -->\n';
const END = '<!-- end -->';

/** The page, with that part as it is now. */
export function restPage(old) {
  const [before, rest] = old.split(BEGIN);
  const after = rest?.split(END)[1];
  if (after === undefined) throw new Error('docs/rest.md has lost the marks of what is generated');
  const rows = endpoints().map(
    ({ method, path, command, group, access }) =>
      `| \`${method} ${path}\` | \`${command.name}\` | \`${group}:${access}\` | ${command.summary} |`,
  );
  const reasons = Object.entries(leftOut).map(([name, why]) => `- \`${name}\`: ${why}`);
  const table = ['| Request | Command | Scope | |', '|---|---|---|---|', ...rows].join('\n');
  return `${before}${BEGIN}${table}\n\nLeft out:\n\n${reasons.join('\n')}\n${END}${after}`;
}
