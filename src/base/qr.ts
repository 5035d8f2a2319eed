// QR codes (ISO/IEC 18004): for terminals, and as SVG.
import { encode } from 'uqr';

/** Light modules around it; the norm asks for four. */
const QUIET = 4;

const modules = (text: string): boolean[][] => encode(text, { ecc: 'M', border: QUIET }).data;

/** Two modules a character, light on black whatever colours the terminal has; without a newline at the end. */
export function qrForTerminal(text: string): string {
  const rows = modules(text);
  const lines: string[] = [];
  for (let y = 0; y < rows.length; y += 2) {
    const line = rows[y]!.map((isDark, x) => halves[(isDark ? 0 : 2) + (rows[y + 1]?.[x] === false ? 1 : 0)]);
    lines.push(`\u001b[40;97m${line.join('')}\u001b[0m`);
  }
  return lines.join('\n');
}
/** By the upper module, then the lower one: what is light is drawn. */
const halves = [' ', '▄', '▀', '█'];

/**
 * An element for a page, black on white.
 * @param label what it is, for those who do not see it; plain text without markup
 */
export function qrSvg(text: string, label: string): string {
  const rows = modules(text);
  const size = rows.length;
  const path: string[] = [];
  for (const [y, row] of rows.entries()) {
    for (let x = 0; x < size; x++) {
      if (!row[x]) continue;
      const from = x;
      while (row[x + 1]) x++;
      path.push(`M${from} ${y}h${x - from + 1}v1H${from}z`);
    }
  }
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${size} ${size}" role="img" aria-label="${label}" shape-rendering="crispEdges">`,
    `<path fill="#fff" d="M0 0h${size}v${size}H0z"/><path d="${path.join('')}"/></svg>`,
  ].join('');
}
