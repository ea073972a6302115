/** Loaded before a process from the sources: Ed25519 by node:crypto in the place of tweetnacl, as in the bundles. */
import { registerHooks } from 'node:module'

const ours = new URL('../../shared/bus/ed25519.ts', import.meta.url).href
registerHooks({
  resolve: (specifier, context, next) => (specifier === 'tweetnacl' ? { url: ours, shortCircuit: true } : next(specifier, context)),
})
