// What a node of an account is, unless somebody decides otherwise (XEP-0163 5).
import { type NodeConfig, plainConfig } from '../pubsub/config.ts';

/** One item, for those who share presence: what a client relies on that configures nothing. */
export function personalConfig(mostPayload: number): NodeConfig {
  return {
    ...plainConfig,
    accessModel: 'presence',
    maxItems: 1,
    // a new song does not take back the one before
    whenFull: 'discard-oldest',
    sendLast: 'on_sub_and_presence',
    isPresenceBased: true,
    maxPayload: mostPayload,
  };
}
