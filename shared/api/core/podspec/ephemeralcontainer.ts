/** A container added to a running pod for debugging. https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/pod-v1/ */
import { inline, obj, opt, str, type Infer } from '../../../machinery/schema.ts'
import { container } from './container.ts'

export const ephemeralContainer = obj(
  'io.k8s.api.core.v1.EphemeralContainer',
  'A container added to a running pod to look into it; it is never restarted.',
  () => ({
    ...inline(1, ephemeralContainerCommon),
    targetContainerName: opt(2, str(), { doc: 'Container whose namespaces it shares.' }),
  }),
)
export type EphemeralContainer = Infer<typeof ephemeralContainer>

/** Field by field a Container, with the same tags; only the message's name differs. */
export const ephemeralContainerCommon = obj(
  'io.k8s.api.core.v1.EphemeralContainerCommon',
  'What ephemeral containers share with others.',
  () => ({
    ...container.fields,
  }),
)
export type EphemeralContainerCommon = Infer<typeof ephemeralContainerCommon>
