/** What is said of pods that are valid but surely not meant so (pkg/api/pod/warnings.go). */
import type { Path } from '../../../machinery/field.ts'
import { warningsForIP } from '../../../machinery/ipwarnings.ts'
import { isDNS1123Label } from '../../../machinery/names.ts'
import type { ObjectMeta } from '../../meta/objectmeta.ts'
import { deprecatedLabel, warningsForTerm } from '../nodelabels.ts'
import { warningsForPersistentVolumeClaimSpec } from '../persistentvolumeclaimspecvalidation.ts'
import { appArmorAnnotation, appArmorDeprecated } from './apparmorannotations.ts'
import { fractional } from './fractional.ts'
import { warningsForPaths } from './pathwarnings.ts'
import type { PodSpec } from './podspec.ts'

type Container = PodSpec['containers'][number]

/** More than clients are sent; the rest need not be looked for. */
export const maxWarnings = 100

/** `at` is the path of the pod or of the template. */
export function warningsForPod(spec: PodSpec, meta: ObjectMeta, at: Path): string[] {
  const path = at.child('spec')
  const containers = visit(spec, path)
  return [
    ...warningsForNodes(spec, path),
    ...warningsForAnnotations(spec, meta, containers, at.child('metadata', 'annotations')),
    ...warningsForVolumes(spec, path.child('volumes')),
    ...warningsForLists(spec, path),
    ...fractional(spec.overhead, path.child('overhead'), 'memory', 'ephemeral-storage'),
    ...containers.flatMap(([c, here]) => warningsForContainer(c, here)),
    ...warningsForPorts(containers),
    ...warningsForPortNames(containers),
    ...((spec.terminationGracePeriodSeconds ?? 0) < 0
      ? [`${path.child('terminationGracePeriodSeconds')}: must be >= 0; negative values are invalid and will be treated as 1`]
      : []),
    ...warningsForAffinity(spec, path.child('affinity')),
  ].slice(0, maxWarnings)
}

/** A name that does not fit where it becomes part of a host's name. */
export const warningsForName = (name: string | undefined, use: string): string[] => {
  const wrong = isDNS1123Label(name ?? '')
  return wrong.length === 0 || !name
    ? []
    : [`metadata.name: this is used in ${use}, which can result in surprising behavior; a DNS label is recommended: [${wrong.join(' ')}]`]
}

const visit = (spec: PodSpec, at: Path): (readonly [Container, Path])[] =>
  (['initContainers', 'containers', 'ephemeralContainers'] as const).flatMap(list =>
    (spec[list] ?? []).map((c, i) => [c as Container, at.child(list).index(i)] as const),
  )

function warningsForNodes(spec: PodSpec, at: Path): string[] {
  if (!spec.affinity && !spec.nodeSelector && !spec.topologySpreadConstraints) return []
  const node = at.child('affinity', 'nodeAffinity')
  const { requiredDuringSchedulingIgnoredDuringExecution: required, preferredDuringSchedulingIgnoredDuringExecution: preferred } =
    spec.affinity?.nodeAffinity ?? {}
  return [
    ...Object.keys(spec.nodeSelector ?? {}).flatMap(label => {
      const said = deprecatedLabel(label)
      return said === undefined ? [] : [`${at.child('nodeSelector').key(label)}: ${said}`]
    }),
    ...(required?.nodeSelectorTerms ?? []).flatMap((term, i) =>
      warningsForTerm(term, false, node.child('requiredDuringSchedulingIgnoredDuringExecution', 'nodeSelectorTerms').index(i)),
    ),
    ...(preferred ?? []).flatMap((term, i) =>
      warningsForTerm(term.preference, true, node.child('preferredDuringSchedulingIgnoredDuringExecution').index(i).child('preference')),
    ),
    ...(spec.topologySpreadConstraints ?? []).flatMap((c, i) => {
      const here = at.child('topologySpreadConstraints').index(i)
      const said = deprecatedLabel(c.topologyKey)
      return [...(said === undefined ? [] : [`${here.child('topologyKey')}: ${c.topologyKey} is ${said}`]), ...noSelector(c, here)]
    }),
  ]
}

const noSelector = (term: { labelSelector?: unknown } | undefined, at: Path): string[] =>
  term?.labelSelector === undefined ? [`${at.child('labelSelector')}: a null labelSelector results in matching no pod`] : []

function warningsForAffinity({ affinity }: PodSpec, at: Path): string[] {
  if (!affinity) return []
  return (['podAffinity', 'podAntiAffinity'] as const).flatMap(kind => [
    ...(affinity[kind]?.requiredDuringSchedulingIgnoredDuringExecution ?? []).flatMap((term, i) =>
      noSelector(term, at.child(kind, 'requiredDuringSchedulingIgnoredDuringExecution').index(i)),
    ),
    ...(affinity[kind]?.preferredDuringSchedulingIgnoredDuringExecution ?? []).flatMap((term, i) =>
      noSelector(term.podAffinityTerm, at.child(kind, 'preferredDuringSchedulingIgnoredDuringExecution').index(i).child('podAffinityTerm')),
    ),
  ])
}

const annotations: readonly (readonly [key: string, text: string])[] = [
  ['scheduler.alpha.kubernetes.io/critical-pod', 'non-functional in v1.16+; use the "priorityClassName" field instead'],
  ['security.alpha.kubernetes.io/sysctls', 'non-functional in v1.11+; use the "sysctls" field instead'],
  ['security.alpha.kubernetes.io/unsafe-sysctls', 'non-functional in v1.11+; use the "sysctls" field instead'],
]
const seccompText = 'non-functional in v1.27+; use the "seccompProfile" field instead'

function warningsForAnnotations(spec: PodSpec, meta: ObjectMeta, containers: readonly (readonly [Container, Path])[], at: Path): string[] {
  const given = meta.annotations
  if (!given) return []
  const has = (key: string, text: string): string[] => (Object.hasOwn(given, key) ? [`${at.key(key)}: ${text}`] : [])
  const pod = spec.securityContext
  // Of a pod's that is said when they become fields, see honourAppArmorAnnotations.
  const ofTemplate = String(at) !== 'metadata.annotations'
  return [
    ...annotations.flatMap(([key, text]) => has(key, text)),
    ...(pod?.seccompProfile ? [] : has('seccomp.security.alpha.kubernetes.io/pod', seccompText)),
    ...containers.flatMap(([c]) => [
      ...(c.securityContext?.seccompProfile ? [] : has(`container.seccomp.security.alpha.kubernetes.io/${c.name}`, seccompText)),
      ...(ofTemplate && !pod?.appArmorProfile && !c.securityContext?.appArmorProfile
        ? has(appArmorAnnotation + c.name, appArmorDeprecated)
        : []),
    ]),
  ]
}

const volumeKinds = {
  photonPersistentDisk: 'deprecated in v1.11, non-functional in v1.16+',
  gitRepo: 'deprecated in v1.11, and disabled by default in v1.33+',
  scaleIO: 'deprecated in v1.16, non-functional in v1.22+',
  flocker: 'deprecated in v1.22, non-functional in v1.25+',
  storageos: 'deprecated in v1.22, non-functional in v1.25+',
  quobyte: 'deprecated in v1.22, non-functional in v1.25+',
  glusterfs: 'deprecated in v1.25, non-functional in v1.26+',
  cephfs: 'deprecated in v1.28, non-functional in v1.31+',
  rbd: 'deprecated in v1.28, non-functional in v1.31+',
} as const

function warningsForVolumes(spec: PodSpec, at: Path): string[] {
  return (spec.volumes ?? []).flatMap((v, i) => {
    const here = at.index(i)
    const claim = v.ephemeral?.volumeClaimTemplate?.spec
    if (v.projected || v.configMap || v.secret || v.emptyDir) return warningsForPaths(v)
    return [
      ...Object.entries(volumeKinds).flatMap(([kind, text]) =>
        v[kind as keyof typeof volumeKinds] ? [`${here.child(kind === 'storageos' ? 'storageOS' : kind)}: ${text}`] : [],
      ),
      ...(claim ? warningsForPersistentVolumeClaimSpec(claim, here.child('ephemeral', 'volumeClaimTemplate', 'spec')) : []),
      ...warningsForPaths(v),
    ]
  })
}

function warningsForLists(spec: PodSpec, at: Path): string[] {
  const repeated = (list: string, name: string, values: readonly (string | undefined)[]): string[] => {
    const seen = new Set<string>()
    return values.flatMap((value = '', i) => {
      if (seen.has(value)) return [`${at.child(list).index(i).child(name)}: duplicate ${name} ${JSON.stringify(value)}`]
      seen.add(value)
      return []
    })
  }
  if (!spec.hostAliases && !spec.imagePullSecrets && !spec.dnsConfig) return []
  const aliases = spec.hostAliases ?? []
  const secrets = spec.imagePullSecrets ?? []
  return [
    ...repeated(
      'hostAliases',
      'ip',
      aliases.map(a => a.ip),
    ),
    ...repeated(
      'imagePullSecrets',
      'name',
      secrets.map(s => s.name),
    ),
    ...secrets.flatMap((s, i) => (s.name ? [] : [`${at.child('imagePullSecrets').index(i).child('name')}: invalid empty name ""`])),
    ...(spec.dnsConfig?.nameservers ?? []).flatMap((ip, i) => warningsForIP(ip, at.child('dnsConfig', 'nameservers').index(i))),
    ...aliases.flatMap((a, i) => warningsForIP(a.ip ?? '', at.child('hostAliases').index(i).child('ip'))),
  ]
}

function warningsForContainer(c: Container, at: Path): string[] {
  const seen = new Set<string>()
  const { limits, requests } = c.resources ?? {}
  return [
    ...(['memory', 'ephemeral-storage'] as const).flatMap(name => [
      ...(limits ? fractional(limits, at.child('resources', 'limits'), name) : []),
      ...(requests ? fractional(requests, at.child('resources', 'requests'), name) : []),
    ]),
    ...(c.env ?? []).flatMap(({ name, value = '', valueFrom }, i) => {
      const former = `$(${name})`
      const hides = seen.has(name) && (valueFrom !== undefined || value === former || !value.includes(former))
      seen.add(name)
      return hides
        ? [`${at.child('env').index(i)}: hides previous definition of ${JSON.stringify(name)}, which may be dropped when using apply`]
        : []
    }),
  ]
}

type Port = NonNullable<Container['ports']>[number]

/** Ports that two definitions, of any containers, are about. */
function warningsForPorts(containers: readonly (readonly [Container, Path])[]): string[] {
  const warnings: string[] = []
  const known = new Map<string, { port: Port; at: Path }[]>()
  for (const [c, path] of containers) {
    for (const [i, port] of (c.ports ?? []).entries()) {
      if (warnings.length >= maxWarnings) return warnings
      const at = path.child('ports').index(i)
      if (port.hostIP && !port.hostPort) warnings.push(`${at}: hostIP set without hostPort: ${goPort(port)}`)
      const key = `${port.containerPort}/${port.protocol}`
      const others = known.get(key) ?? []
      for (const other of others) {
        const said = relation(port, other.port)
        if (said !== '') warnings.push(`${at}: ${said} port definition with ${other.at}`)
      }
      known.set(key, [...others, { port, at }])
    }
  }
  return warnings
}

/** Who looks for a port by its name finds the first. */
function warningsForPortNames(containers: readonly (readonly [Container, Path])[]): string[] {
  const known = new Map<string, Path>()
  return containers.flatMap(([c, path]) =>
    (c.ports ?? []).flatMap(({ name }, i) => {
      if (!name) return []
      const at = path.child('ports').index(i)
      const first = known.get(name)
      if (first === undefined) {
        known.set(name, at)
        return []
      }
      return [
        `${at}: duplicate port name ${JSON.stringify(name)} with ${first}, services and probes that select ports by name will use ${first}`,
      ]
    }),
  )
}

function relation(a: Port, b: Port): string {
  const [ip, otherIP, port, otherPort] = [a.hostIP ?? '', b.hostIP ?? '', a.hostPort ?? 0, b.hostPort ?? 0]
  if (ip === otherIP && port === otherPort) return 'duplicate'
  if (port === 0 || otherPort === 0) return 'overlapping'
  return port === otherPort && (ip === '') !== (otherIP === '') ? 'dangerously ambiguous' : ''
}

/** Go's `%+v`. */
const goPort = (p: Port): string =>
  `{Name:${p.name ?? ''} HostPort:${p.hostPort ?? 0} ContainerPort:${p.containerPort} Protocol:${p.protocol ?? ''} HostIP:${p.hostIP ?? ''}}`
