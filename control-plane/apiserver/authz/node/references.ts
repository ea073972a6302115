/** What a pod refers to, which its node needs to run it (pkg/api/v1/pod/util.go: VisitPodSecretNames and the like). */
import type { Pod } from '#shared/api/core/pod.ts'

export type Referred = 'secrets' | 'configmaps' | 'persistentvolumeclaims' | 'serviceaccounts'

type Named = { name?: string | undefined; secretName?: string | undefined } | undefined
type Volume = NonNullable<Pod['spec']['volumes']>[number]

/** Names of the Secrets of a volume's source: of whatever kind it is, they stand in fields of these names. */
function* secretsOf(volume: Volume): Generator<string | undefined> {
  yield volume.secret?.secretName
  for (const source of volume.projected?.sources ?? []) yield source.secret?.name
  for (const source of Object.values(volume) as unknown[]) {
    if (typeof source !== 'object' || source === null) continue
    const { secretRef, nodePublishSecretRef, secretName } = source as {
      secretRef?: Named
      nodePublishSecretRef?: Named
      secretName?: string
    }
    yield secretRef?.name
    yield nodePublishSecretRef?.name
    yield secretName
  }
}

function* containersOf({ spec }: Pod) {
  for (const list of [spec.initContainers, spec.containers, spec.ephemeralContainers]) yield* list ?? []
}

function* namesOf(pod: Pod, what: Referred): Generator<string | undefined> {
  const { spec, metadata } = pod
  const volumes = spec.volumes ?? []
  switch (what) {
    case 'serviceaccounts':
      yield spec.serviceAccountName
      return
    case 'persistentvolumeclaims':
      for (const volume of volumes) {
        yield volume.persistentVolumeClaim?.claimName
        if (volume.ephemeral) yield `${metadata.name}-${volume.name}`
      }
      return
    case 'secrets':
      for (const { name } of spec.imagePullSecrets ?? []) yield name
      for (const volume of volumes) yield* secretsOf(volume)
      for (const { env, envFrom } of containersOf(pod)) {
        for (const { valueFrom } of env ?? []) yield valueFrom?.secretKeyRef?.name
        for (const { secretRef } of envFrom ?? []) yield secretRef?.name
      }
      return
    case 'configmaps':
      for (const { configMap, projected } of volumes) {
        yield configMap?.name
        for (const source of projected?.sources ?? []) yield source.configMap?.name
      }
      for (const { env, envFrom } of containersOf(pod)) {
        for (const { valueFrom } of env ?? []) yield valueFrom?.configMapKeyRef?.name
        for (const { configMapRef } of envFrom ?? []) yield configMapRef?.name
      }
  }
}

/** A node must not get at anything by a pod that it made itself. */
const isMirror = (pod: Pod): boolean => pod.metadata.annotations?.['kubernetes.io/config.mirror'] !== undefined

/** The names of objects of a kind in its namespace that a pod refers to. */
export function* referencesOf(pod: Pod, what: Referred): Generator<string> {
  if (isMirror(pod)) return
  for (const name of namesOf(pod, what)) if (name) yield name
}

/** The namespaces and names of the Secrets that a volume refers to, by fields that are named so. */
export function* secretsOfVolume(spec: Readonly<Record<string, unknown>>): Generator<{ namespace: string; name: string }> {
  const claimed = (spec['claimRef'] as { namespace?: string } | undefined)?.namespace ?? ''
  for (const source of Object.values(spec)) {
    if (typeof source !== 'object' || source === null) continue
    const { secretName, secretNamespace } = source as { secretName?: string; secretNamespace?: string }
    if (secretName) yield { namespace: secretNamespace || claimed, name: secretName }
    for (const [field, ref] of Object.entries(source as Record<string, { namespace?: string; name?: string } | undefined>))
      if (/secretRef$/i.test(field) && ref?.name) yield { namespace: ref.namespace || claimed, name: ref.name }
  }
}
