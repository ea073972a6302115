/** The admission plugins that are on, in upstream's order. */
import type { Registry as MetricsRegistry } from 'prom-client'
import type { Authorizer } from '../authz/authorizer.ts'
import type { ApiServerOptions } from '../options.ts'
import { podSecurityMetrics } from '../podsecurity/metrics.ts'
import type { Registry } from '../registry/registry.ts'
import type { Serving } from '../surface.ts'
import type { AdmissionPlugin } from './admission.ts'
import { alwaysPullImages } from './alwayspullimages.ts'
import { certificateApproval, certificateSigning, certificateSubjectRestriction, clusterTrustBundleAttest } from './certificates.ts'
import { defaultIngressClass } from './defaultingressclass.ts'
import { defaultStorageClass } from './defaultstorageclass.ts'
import type { AdmissionConfiguration } from './configuration.ts'
import { defaultTolerationSeconds } from './defaulttolerationseconds.ts'
import { denyServiceExternalIPs } from './denyserviceexternalips.ts'
import { extendedResourceToleration } from './extendedresourcetoleration.ts'
import { imagePolicyWebhook } from './imagepolicywebhook.ts'
import { limitRanger } from './limitranger.ts'
import { namespaceLifecycle } from './namespacelifecycle.ts'
import { mutatingWebhooks } from './webhook/mutating.ts'
import type { Parts } from './webhook/parts.ts'
import { validatingWebhooks } from './webhook/validating.ts'
import { nodeRestriction } from './noderestriction.ts'
import { ownerReferencesPermissionEnforcement } from './ownerreferencespermissionenforcement.ts'
import { persistentVolumeClaimResize } from './persistentvolumeclaimresize.ts'
import type { PolicyDependencies } from './policy/invocation.ts'
import { mutatingAdmissionPolicy } from './policy/mutating.ts'
import { validatingAdmissionPolicy } from './policy/validating.ts'
import { podSecurity } from './podsecurity.ts'
import { priority } from './priority.ts'
import { resourceQuota } from './resourcequota.ts'
import { runtimeClass } from './runtimeclass.ts'
import { serviceAccount } from './serviceaccount.ts'
import { storageObjectInUseProtection } from './storageobjectinuseprotection.ts'
import { taintNodesByCondition } from './taintnodesbycondition.ts'

/** Those that somebody has to ask for. */
const offByDefault = [
  'AlwaysPullImages',
  'ExtendedResourceToleration',
  'DenyServiceExternalIPs',
  'OwnerReferencesPermissionEnforcement',
  'ImagePolicyWebhook',
]

/** Throws an Error when the options name a plugin that there is not, or one as both on and off. */
export function admissionPlugins(
  registry: Registry,
  authorizer: Authorizer,
  options: ApiServerOptions,
  configuration: AdmissionConfiguration,
  serving: () => Serving,
  metrics: MetricsRegistry,
  webhooks: Parts,
  policies: PolicyDependencies,
): readonly AdmissionPlugin[] {
  const { enableAdmissionPlugins: on, disableAdmissionPlugins: off } = options
  const plugins = all(registry, authorizer, options, configuration, serving, metrics, webhooks, policies)
  for (const [flag, names] of [
    ['enable', on],
    ['disable', off],
  ] as const)
    for (const name of names)
      if (!plugins.some(p => p.name === name)) throw new Error(`${flag}-admission-plugins plugin ${JSON.stringify(name)} is unknown`)
  if (on.includes('ImagePolicyWebhook') && !configuration.imagePolicy)
    throw new Error('failed to initialize admission: couldn\'t init admission plugin "ImagePolicyWebhook": no config specified')
  const both = on.filter(name => off.includes(name))
  if (both.length > 0) throw new Error(`[${both.join(' ')}] in enable-admission-plugins and disable-admission-plugins overlapped`)
  return plugins.filter(({ name }) => !off.includes(name) && (on.includes(name) || !offByDefault.includes(name)))
}

const all = (
  registry: Registry,
  authorizer: Authorizer,
  options: ApiServerOptions,
  configuration: AdmissionConfiguration,
  serving: () => Serving,
  metrics: MetricsRegistry,
  webhooks: Parts,
  policies: PolicyDependencies,
): readonly AdmissionPlugin[] => [
  namespaceLifecycle(registry),
  limitRanger(registry),
  serviceAccount(registry),
  nodeRestriction(registry, authorizer),
  taintNodesByCondition(),
  alwaysPullImages(),
  imagePolicyWebhook(configuration.imagePolicy),
  podSecurity(registry, podSecurityMetrics(metrics), configuration.podSecurity),
  priority(registry),
  defaultTolerationSeconds(options.defaultNotReadyTolerationSeconds, options.defaultUnreachableTolerationSeconds),
  extendedResourceToleration(),
  defaultStorageClass(registry),
  storageObjectInUseProtection(),
  ownerReferencesPermissionEnforcement(authorizer, serving),
  persistentVolumeClaimResize(registry),
  runtimeClass(registry),
  certificateApproval(authorizer),
  certificateSigning(authorizer),
  clusterTrustBundleAttest(authorizer),
  certificateSubjectRestriction(),
  defaultIngressClass(registry),
  denyServiceExternalIPs(),
  mutatingAdmissionPolicy(policies),
  mutatingWebhooks(webhooks),
  validatingAdmissionPolicy(policies),
  validatingWebhooks(webhooks),
  resourceQuota(registry, configuration.limitedResources),
]
