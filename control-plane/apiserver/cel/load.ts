/**
 * Loads the engine of the Common Expression Language when the first expression is met: API servers without one do not pay for it. It is a
 * bundle of its own, required and not imported, so that it is there at once. What else imports `cel.ts` imports types only.
 */
import { createRequire } from 'node:module'

type Engine = typeof import('./cel.ts')

let engine: Engine | undefined

/** The engine: `cel().compile(...)`; see cel.ts for what it does. */
export const cel = (): Engine =>
  (engine ??= createRequire(import.meta.url)(import.meta.url.endsWith('.ts') ? './cel.ts' : './cel.js') as Engine)
