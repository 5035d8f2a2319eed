// Circles, as those see them who look after them; modules/circles keeps them.

/** People who know one another, and the rooms that they have together. */
export interface Circle {
  readonly id: string;
  readonly name: string;
  /** Localparts, in order. */
  readonly members: readonly string[];
  readonly chats: readonly CircleChat[];
}
export interface CircleChat {
  /** Localpart of the room. */
  readonly id: string;
  /** The room. */
  readonly jid: string;
  readonly name: string;
}

export type CircleProblem = 'no-circle' | 'no-account' | 'no-chat' | 'no-rooms' | 'too-many' | 'bad-name';

/** Why something is refused; the message is for people. */
export class CircleRefusal extends Error {
  override readonly name = 'CircleRefusal';
  readonly problem: CircleProblem;
  constructor(problem: CircleProblem, message: string) {
    super(message);
    this.problem = problem;
  }
}

/** The circles of one host, by id. All reject with {@link CircleRefusal} for what is refused. */
export interface AdminCircles {
  /** By name. */
  list(): Promise<readonly Circle[]>;
  show(id: string): Promise<Circle | undefined>;
  create(name: string): Promise<Circle>;
  rename(id: string, name: string): Promise<Circle>;
  /** With its rooms; its people keep one another as contacts. */
  remove(id: string): Promise<void>;
  /** Somebody is a contact of all others from now on, and in all rooms. Done again, it sees to what is missing. */
  add(id: string, user: string): Promise<Circle>;
  /** Somebody is in the rooms no more; contacts stay, for they are people's own. */
  drop(id: string, user: string): Promise<Circle>;
  addChat(id: string, name: string): Promise<CircleChat>;
  /** With all that was said there. */
  removeChat(id: string, chat: string): Promise<void>;
}
