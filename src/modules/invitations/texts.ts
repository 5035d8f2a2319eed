// All that the pages of invitations say, in one place: another language is another object of this type. Plain text, without markup.
import type { InvitationProblem } from './service.ts';

export interface Texts {
  /** RFC 5646. */
  readonly language: string;
  title(place: string): string;
  readonly account: {
    /** `inviter` is empty where nobody in particular invites. */
    heading(inviter: string, place: string): string;
    readonly lead: string;
  };
  readonly contact: {
    heading(inviter: string): string;
    lead(inviter: string, place: string): string;
    readonly open: string;
    readonly nothing: string;
  };
  readonly reset: {
    heading(account: string): string;
    readonly lead: string;
    readonly submit: string;
  };
  readonly form: {
    readonly heading: string;
    readonly headingOfContact: string;
    readonly name: string;
    nameHint(domain: string): string;
    readonly password: string;
    passwordHint(least: number): string;
    readonly submit: string;
    readonly submitToChat: string;
  };
  readonly app: {
    readonly heading: string;
    readonly open: string;
    readonly lead: string;
    readonly codeLabel: string;
    readonly code: string;
    readonly list: string;
    readonly systems: Readonly<Record<System, string>>;
  };
  readonly done: {
    readonly account: string;
    isThere(account: string): string;
    readonly reset: string;
    isReset(account: string): string;
    readonly next: string;
    readonly chat: string;
  };
  readonly ends: (at: string) => string;
  /** A heading and a sentence for what cannot be used. */
  readonly problems: Readonly<Record<PageProblem, readonly [heading: string, sentence: string]>>;
  /** A sentence beside the form. */
  refused(problem: InvitationProblem, least: number): string;
}

export type System = 'android' | 'ios' | 'linux' | 'windows' | 'mac' | 'browser';
export type PageProblem =
  | 'unknown'
  | 'expired'
  | 'used'
  | 'revoked'
  | 'busy'
  | 'not-allowed'
  | 'too-many'
  | 'insecure'
  | 'elsewhere';

export const english: Texts = {
  language: 'en',
  title: (place) => `Invitation to ${place}`,
  account: {
    heading: (inviter, place) =>
      inviter === '' ? `You are invited to ${place}` : `${inviter} invites you to ${place}`,
    lead: 'Choose a name and a password, and you can write to people here and on all other XMPP servers.',
  },
  contact: {
    heading: (inviter) => `${inviter} wants to be in touch with you`,
    lead: (inviter, place) => `Add ${inviter} in the chat app that you have, or make an account at ${place}.`,
    open: 'Add the contact in your app',
    nothing: 'If you do not know who this is, there is nothing that you have to do.',
  },
  reset: {
    heading: (account) => `A new password for ${account}`,
    lead: 'All devices and apps are logged out, and need the new password.',
    submit: 'Set the password',
  },
  form: {
    heading: 'Start here',
    headingOfContact: 'I have no account yet',
    name: 'Name',
    nameHint: (domain) => `Your address will be name@${domain}.`,
    password: 'Password',
    passwordHint: (least) => `${least} characters or more.`,
    submit: 'Make the account',
    submitToChat: 'Make the account and start to chat',
  },
  app: {
    heading: 'In an app',
    open: 'Open in your app',
    lead: 'Install one of these first if you have none. Then come back here, or open the link that you were sent once more.',
    codeLabel: 'QR code with the address of this page',
    code: 'Scan this with your phone to go on there.',
    list: 'Apps',
    systems: {
      android: 'Android',
      ios: 'iPhone and iPad',
      linux: 'Linux',
      windows: 'Windows',
      mac: 'Mac',
      browser: 'in the browser',
    },
  },
  done: {
    account: 'Welcome',
    isThere: (account) => `Your account is ${account}. Log in with it and the password that you have chosen.`,
    reset: 'That is done',
    isReset: (account) => `${account} has the new password now.`,
    next: 'Any of these apps will do:',
    chat: 'Chat in this browser',
  },
  ends: (at) => `This invitation holds until ${at}.`,
  problems: {
    unknown: [
      'There is no such invitation',
      'Perhaps a part of the link is missing. Ask whoever sent it to send it once more.',
    ],
    expired: ['This invitation has expired', 'Ask whoever sent it for a new one.'],
    used: [
      'This invitation has been used already',
      'If it was you, log in with the name and the password that you have chosen. Else ask for a new one.',
    ],
    revoked: ['This invitation was taken back', 'Ask whoever sent it whether that was meant.'],
    busy: ['Somebody is just using this invitation', 'Try again in some minutes.'],
    'not-allowed': ['Nobody can make an account here at the moment', 'Ask whoever runs this server.'],
    'too-many': ['That was too often', 'Wait a minute, and try again.'],
    insecure: ['This needs a connection that nobody can listen to', 'Open this page by https://.'],
    elsewhere: ['This form was sent from another page', 'Open the invitation once more, and fill in the form there.'],
  },
  refused(problem, least) {
    switch (problem) {
      case 'taken':
        return 'Somebody has this name already. Choose another one.';
      case 'invalid-name':
        return 'This cannot be a name. Letters, digits, dots and hyphens always can; blanks and @ cannot.';
      case 'weak-password':
        return `The password is too short: ${least} characters, or more.`;
      case 'invalid-password':
        return 'The password is empty, too long, or has characters that not every app can send.';
      default:
        return 'That did not work. Try once more.';
    }
  },
};
