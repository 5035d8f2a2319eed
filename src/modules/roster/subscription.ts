// Presence subscriptions as a state machine: RFC 6121 appendix A, and section 3.4 for approval in advance. Pure.

/** The presence types that manage subscriptions. */
export type SubscriptionType = 'subscribe' | 'subscribed' | 'unsubscribe' | 'unsubscribed';

/** What an account and a contact are to one another, as the account's server knows it. */
export interface Subscription {
  /** The account receives the contact's presence. */
  readonly to: boolean;
  /** The contact receives the account's presence. */
  readonly from: boolean;
  /** The account asked and has no answer: "Pending Out". */
  readonly out: boolean;
  /** The contact asked and has no answer: "Pending In". */
  readonly in: boolean;
  /** The account approved before the contact asked (3.4). */
  readonly approved: boolean;
}

export interface Step {
  readonly state: Subscription;
  /** Outbound: the stanza is routed to the contact. Inbound: it is delivered to the account's resources. */
  readonly pass: boolean;
  /** Inbound `subscribe` only: the server answers `subscribed` on the account's behalf. */
  readonly approve: boolean;
}

export const noSubscription: Subscription = { to: false, from: false, out: false, in: false, approved: false };

/** The account's client sends a stanza to the contact (A.2). */
export function outbound(state: Subscription, type: SubscriptionType): Step {
  switch (type) {
    case 'subscribe':
      return step({ ...state, out: state.out || !state.to }, true);
    case 'unsubscribe':
      return step({ ...state, to: false, out: false }, true);
    case 'subscribed':
      if (state.in) return step({ ...state, in: false, from: true, approved: false }, true);
      // 3.4.2: kept for the day the contact asks, and never routed
      return step({ ...state, approved: state.approved || !state.from }, false);
    case 'unsubscribed':
      // 3.2.2: what has not been granted yet is only withdrawn
      return step({ ...state, in: false, from: false, approved: false }, state.in || state.from);
  }
}

/** A stanza from the contact arrives (A.3). */
export function inbound(state: Subscription, type: SubscriptionType): Step {
  switch (type) {
    case 'subscribe':
      // 3.1.3: whoever may see the presence already is told so, without asking the account again
      if (state.from) return step(state, false, true);
      if (state.approved) return step({ ...state, in: false, from: true, approved: false }, false, true);
      return step({ ...state, in: true }, !state.in);
    case 'unsubscribe':
      return step({ ...state, in: false, from: false }, state.in || state.from);
    case 'subscribed':
      return step({ ...state, to: state.to || state.out, out: false }, state.out);
    case 'unsubscribed':
      return step({ ...state, to: false, out: false }, state.to || state.out);
  }
}

/** A stanza of the client's that may have been dealt with before, and may not have got any further then. */
export function outboundAgain(state: Subscription, type: SubscriptionType): Step {
  const taken = outbound(state, type);
  return { ...taken, pass: type !== 'subscribed' || taken.state.from };
}

/** A stanza from the contact that may have been dealt with before, and may not have been delivered then. */
export function inboundAgain(state: Subscription, type: SubscriptionType): Step {
  const taken = inbound(state, type);
  const { state: is } = taken;
  return { ...taken, pass: type === 'subscribe' ? is.in : type !== 'subscribed' || is.to };
}

function step(state: Subscription, pass: boolean, approve = false): Step {
  return { state, pass, approve };
}
