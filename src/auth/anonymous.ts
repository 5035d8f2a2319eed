// ANONYMOUS (RFC 4505, XEP-0175): a name for one visit, on hosts that are for guests.
import { randomBytes } from 'node:crypto';
import type { Mechanism } from './mechanism.ts';

/** 128 bits: nobody guesses the name of another guest, and no two get the same. */
const NAME_BYTES = 16;

export const anonymous: Mechanism = {
  name: 'ANONYMOUS',
  // The client may send trace data, of which nothing is used (XEP-0175 2). Without an initial response, success comes at
  // once, as in the examples of XEP-0175 3.
  begin: () => () => ({
    success: { local: randomBytes(NAME_BYTES).toString('hex'), anonymous: true, epoch: 0 },
    data: undefined,
  }),
};
