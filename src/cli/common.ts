// What may be given to every command.

export interface Common {
  readonly json?: boolean;
  readonly config?: string;
}
