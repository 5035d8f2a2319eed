// Pictures that commands are given as files.
import { readFileSync } from 'node:fs';
import { CommandError } from '../core/commands.ts';

/** A picture in base64. @throws CommandError where it cannot be read */
export function readPicture(file: string): string {
  try {
    return readFileSync(file).toString('base64');
  } catch (error) {
    throw new CommandError('bad-arguments', `${file} cannot be read: ${(error as Error).message}`);
  }
}
