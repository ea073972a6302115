/** The admission plugins that are on, in upstream's order. */
import type { ApiServerOptions } from '../options.ts'
import type { Registry } from '../registry/registry.ts'
import type { AdmissionPlugin } from './admission.ts'
import { defaultTolerationSeconds } from './defaulttolerationseconds.ts'
import { namespaceLifecycle } from './namespacelifecycle.ts'
import { priority } from './priority.ts'
import { serviceAccount } from './serviceaccount.ts'
import { taintNodesByCondition } from './taintnodesbycondition.ts'

export const admissionPlugins = (registry: Registry, options: ApiServerOptions): readonly AdmissionPlugin[] =>
  all(registry, options).filter(p => !options.disableAdmissionPlugins.includes(p.name))

const all = (registry: Registry, options: ApiServerOptions): readonly AdmissionPlugin[] => [
  namespaceLifecycle(registry),
  serviceAccount(registry),
  taintNodesByCondition(),
  priority(),
  defaultTolerationSeconds(options.defaultNotReadyTolerationSeconds, options.defaultUnreachableTolerationSeconds),
]
