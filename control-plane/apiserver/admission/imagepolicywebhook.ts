/** ImagePolicyWebhook: another server says which images may run (plugin/pkg/admission/imagepolicy). */
import type { Pod } from '#shared/api/core/pod.ts'
import * as z from 'zod'
import type { WebhookBackend } from '../webhookbackend.ts'
import { isAbout, refused, type AdmissionPlugin, type Attributes } from './admission.ts'

/** 0 is the default, -1 turns it off. */
const period = (unitMs: number, minMs: number, maxMs: number, defaultMs: number) =>
  z
    .int()
    .default(0)
    .transform(n => (n === -1 ? 0 : n === 0 ? defaultMs : n * unitMs))
    .refine(ms => ms === 0 || (ms >= minMs && ms <= maxMs), `must be between ${minMs} and ${maxMs} ms`)
const halfAnHourMs = 30 * 60_000

/** The plugin's part of the configuration file: cache times in seconds, the pause between tries in milliseconds. */
export const imagePolicySchema = z.object({
  imagePolicy: z.object({
    kubeConfigFile: z.string(),
    allowTTL: period(1000, 1000, halfAnHourMs, 5 * 60_000),
    denyTTL: period(1000, 1000, halfAnHourMs, 30_000),
    retryBackoff: period(1, 1, 5 * 60_000, 500),
    defaultAllow: z.boolean().default(false),
  }),
})
export type ImagePolicy = z.output<typeof imagePolicySchema>['imagePolicy']

const reviewed = z.looseObject({
  status: z.looseObject({
    allowed: z.boolean().default(false),
    reason: z.string().default(''),
    auditAnnotations: z.record(z.string(), z.string()).default({}),
  }),
})
type Status = z.output<typeof reviewed>['status']

const auditPrefix = 'imagepolicywebhook.image-policy.k8s.io/'
const failedOpen = 'alpha.image-policy.k8s.io/failed-open'
const maxRemembered = 1024

/** Without a configuration it cannot do its work: whoever turns it on must give one. */
export function imagePolicyWebhook(configured: { policy: ImagePolicy; backend: WebhookBackend } | undefined): AdmissionPlugin {
  const remembered = new Map<string, { status: Status; until: number }>()

  async function review(a: Attributes, pod: Pod, { policy, backend }: NonNullable<typeof configured>): Promise<void> {
    const images = [...pod.spec.containers, ...(pod.spec.initContainers ?? [])].map(c => ({ image: c.image ?? '' }))
    const annotations = Object.entries(pod.metadata.annotations ?? {}).filter(([key]) => key.includes('.image-policy.k8s.io/'))
    const spec = { containers: images, annotations: Object.fromEntries(annotations), namespace: a.namespace }
    const key = JSON.stringify(spec)
    let known = remembered.get(key)
    if (!known || known.until < performance.now()) {
      let status: Status
      try {
        const answer = await backend.ask({
          kind: 'ImageReview',
          apiVersion: 'imagepolicy.k8s.io/v1alpha1',
          metadata: {},
          spec,
          status: { allowed: false },
        })
        ;({ status } = reviewed.parse(answer))
      } catch (e) {
        if (!policy.defaultAllow) throw refused(a, (e as Error).message)
        a.annotate(`${auditPrefix}failed-open`, 'true')
        pod.metadata.annotations = { ...pod.metadata.annotations, [failedOpen]: 'true' }
        return
      }
      known = { status, until: performance.now() + (status.allowed ? policy.allowTTL : policy.denyTTL) }
      remembered.delete(key)
      if (remembered.size >= maxRemembered) remembered.delete(remembered.keys().next().value!)
      remembered.set(key, known)
    }
    const { allowed, reason, auditAnnotations } = known.status
    for (const [name, value] of Object.entries(auditAnnotations)) a.annotate(`${auditPrefix}${name}`, value)
    if (allowed) return
    throw refused(
      a,
      reason === ''
        ? 'one or more images rejected by webhook backend'
        : `image policy webhook backend denied one or more images: ${reason}`,
    )
  }

  return {
    name: 'ImagePolicyWebhook',
    validate(a) {
      if (!isAbout(a, '', 'pods') || (a.operation !== 'CREATE' && a.operation !== 'UPDATE')) return undefined
      return configured && review(a, a.object as Pod, configured)
    },
  }
}
