/** The admission plugins that are on, in upstream's order. */
import type { Authorizer } from '../authz/authorizer.ts'
import type { ApiServerOptions } from '../options.ts'
import type { Registry } from '../registry/registry.ts'
import type { AdmissionPlugin } from './admission.ts'
import { certificateApproval, certificateSigning, certificateSubjectRestriction } from './certificates.ts'
import { defaultTolerationSeconds } from './defaulttolerationseconds.ts'
import { limitRanger } from './limitranger.ts'
import { namespaceLifecycle } from './namespacelifecycle.ts'
import { priority } from './priority.ts'
import { resourceQuota } from './resourcequota.ts'
import { serviceAccount } from './serviceaccount.ts'
import { taintNodesByCondition } from './taintnodesbycondition.ts'

export const admissionPlugins = (registry: Registry, authorizer: Authorizer, options: ApiServerOptions): readonly AdmissionPlugin[] =>
  all(registry, authorizer, options).filter(p => !options.disableAdmissionPlugins.includes(p.name))

const all = (registry: Registry, authorizer: Authorizer, options: ApiServerOptions): readonly AdmissionPlugin[] => [
  namespaceLifecycle(registry),
  limitRanger(registry),
  serviceAccount(registry),
  taintNodesByCondition(),
  priority(registry),
  defaultTolerationSeconds(options.defaultNotReadyTolerationSeconds, options.defaultUnreachableTolerationSeconds),
  certificateApproval(authorizer),
  certificateSigning(authorizer),
  certificateSubjectRestriction(),
  resourceQuota(registry),
]
