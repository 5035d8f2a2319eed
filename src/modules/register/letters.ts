// Letters as a picture that people read more easily than programs do (XEP-0158 6.3, `ocr`): turned, bent, and crossed by lines.
import { randomBytes, randomInt } from 'node:crypto';
import { blackAndWhitePng } from '../../base/png.ts';

/** Five by seven points each, a row a line; none that is mistaken for another. */
const glyphs: Readonly<Record<string, readonly string[]>> = {
  A: ['.###.', '#...#', '#...#', '#####', '#...#', '#...#', '#...#'],
  C: ['.###.', '#...#', '#....', '#....', '#....', '#...#', '.###.'],
  E: ['#####', '#....', '#....', '####.', '#....', '#....', '#####'],
  F: ['#####', '#....', '#....', '####.', '#....', '#....', '#....'],
  K: ['#...#', '#..#.', '#.#..', '##...', '#.#..', '#..#.', '#...#'],
  L: ['#....', '#....', '#....', '#....', '#....', '#....', '#####'],
  M: ['#...#', '##.##', '#.#.#', '#.#.#', '#...#', '#...#', '#...#'],
  P: ['####.', '#...#', '#...#', '####.', '#....', '#....', '#....'],
  R: ['####.', '#...#', '#...#', '####.', '#.#..', '#..#.', '#...#'],
  T: ['#####', '..#..', '..#..', '..#..', '..#..', '..#..', '..#..'],
  W: ['#...#', '#...#', '#...#', '#.#.#', '#.#.#', '##.##', '#...#'],
  X: ['#...#', '#...#', '.#.#.', '..#..', '.#.#.', '#...#', '#...#'],
  Y: ['#...#', '#...#', '.#.#.', '..#..', '..#..', '..#..', '..#..'],
  '3': ['#####', '...#.', '..#..', '...#.', '....#', '#...#', '.###.'],
  '4': ['...#.', '..##.', '.#.#.', '#..#.', '#####', '...#.', '...#.'],
  '7': ['#####', '....#', '...#.', '..#..', '..#..', '..#..', '..#..'],
};
const names = Object.keys(glyphs);

const LENGTH = 6;
/** Points of the picture for one of a letter's, and what is around a letter. */
const SCALE = 6;
const CELL = 40;
const HEIGHT = 72;
const WIDTH = LENGTH * CELL + 16;

export interface Letters {
  readonly text: string;
  readonly png: Buffer;
  readonly width: number;
  readonly height: number;
}

/** Between two numbers. */
const between = (least: number, most: number): number => least + ((most - least) * randomInt(1 << 24)) / (1 << 24);

export function drawLetters(): Letters {
  const text = Array.from({ length: LENGTH }, () => names[randomInt(names.length)]!).join('');
  const turned = [...text].map((name) => ({
    rows: glyphs[name]!,
    angle: between(-0.35, 0.35),
    shift: between(-5, 5),
    size: between(0.95, 1.1),
  }));
  const wave = { high: between(2, 4), wide: between(9, 16), at: between(0, 6.28) };
  const lines = Array.from({ length: 2 }, () => ({
    y: between(12, HEIGHT - 12),
    high: between(4, 14),
    wide: between(18, 45),
    at: between(0, 6.28),
  }));
  const isInk = (x: number, y: number): boolean => {
    const [u, v] = [x + wave.high * Math.sin(y / wave.wide + wave.at) - 8, y + wave.high * Math.sin(x / wave.wide)];
    const letter = turned[Math.floor(u / CELL)];
    if (letter === undefined || u < 0) return false;
    const [dx, dy] = [(u % CELL) - CELL / 2, v - HEIGHT / 2 - letter.shift];
    const [sin, cos] = [Math.sin(letter.angle), Math.cos(letter.angle)];
    const scale = SCALE * letter.size;
    const [column, row] = [(dx * cos + dy * sin) / scale + 2.5, (dy * cos - dx * sin) / scale + 3.5];
    return letter.rows[Math.floor(row)]?.[Math.floor(column)] === '#';
  };
  const isLine = (x: number, y: number): boolean =>
    lines.some((line) => Math.abs(y - line.y - line.high * Math.sin(x / line.wide + line.at)) < 0.8);
  const dust = randomBytes(WIDTH * HEIGHT);
  const png = blackAndWhitePng(
    WIDTH,
    HEIGHT,
    // a line through a letter is white, and some points are anything
    (x, y) => dust[y * WIDTH + x]! < 4 || isInk(x, y) !== isLine(x, y),
  );
  return { text, png, width: WIDTH, height: HEIGHT };
}
