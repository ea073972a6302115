/** Decisions that are not older than an acknowledged write, through whichever API server it was made. */
import { caughtUp } from '../registry/current.ts'
import type { Registry } from '../registry/registry.ts'
import type { Authorizer, Decision } from './authorizer.ts'

/**
 * Allows by this server's cache while that is known to hold all acknowledged writes of roles and bindings (see registry/peers.ts), at once;
 * else, and before anything is refused, the cache is first made current. While the store cannot be asked, what was known last decides.
 */
export function consistent(registry: Registry, authorizer: Authorizer): Authorizer {
  const confirmed = (decision: Decision, again: () => Decision | Promise<Decision>): Decision | Promise<Decision> =>
    decision.decision === 'allow' ? decision : caughtUp(registry).then(again)
  return {
    authorize(a) {
      const ask = (): Decision | Promise<Decision> => authorizer.authorize(a)
      if (!registry.current) return caughtUp(registry).then(ask)
      const decision = ask()
      return decision instanceof Promise ? decision.then(d => confirmed(d, ask)) : confirmed(decision, ask)
    },
    async rulesFor(user, namespace) {
      await caughtUp(registry)
      return authorizer.rulesFor(user, namespace)
    },
  }
}
