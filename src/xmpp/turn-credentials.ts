// Short-lived credentials for TURN, made from a secret that it shares with us (draft-uberti-behave-turn-rest-00 2.2; coturn calls it
// `use-auth-secret`): the service needs to ask nobody.
import { createHmac } from 'node:crypto';

export interface TurnCredentials {
  /** When they end, in seconds since 1970, and who has them. */
  readonly username: string;
  readonly password: string;
  /** Milliseconds since 1970, whole seconds. */
  readonly expires: number;
}

const DAY = 86_400_000;

/**
 * Credentials for somebody. STUN sends the user name in the clear, so nobody is named in it: the same person has the same
 * pseudonym for a day, by which the service can limit what one may use, and another one the next day.
 * @param expires milliseconds since 1970
 */
export function turnCredentials(secret: string, who: string, expires: number): TurnCredentials {
  const seconds = Math.floor(expires / 1000);
  const day = Math.floor(expires / DAY);
  const pseudonym = createHmac('sha256', secret).update(`${day} ${who}`).digest('base64url').slice(0, 16);
  const username = `${seconds}:${pseudonym}`;
  return { username, password: createHmac('sha1', secret).update(username).digest('base64'), expires: seconds * 1000 };
}
