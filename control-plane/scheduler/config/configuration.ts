/** Reads a KubeSchedulerConfiguration: defaults, upstream's rules, and the profiles that come of it. pkg/scheduler/apis/config */
import { isExtendedResource } from '#shared/api/core/resourcenames.ts'
import { decode } from '#shared/machinery/decode.ts'
import { parseDuration } from '#shared/machinery/duration.ts'
import { duplicate, invalid, Path, required, type FieldError } from '#shared/machinery/field.ts'
import { isQualifiedName } from '#shared/machinery/names.ts'
import { strictErrors } from '#shared/machinery/requestbody.ts'
import { parseConfig, readText } from '#shared/component/configfile.ts'
import { doesNotExist, points, type Enablement, type PluginSets } from '../extensionpoints.ts'
import { defaultMultiPoint, defaultPlugins, inTreePlugins } from '../plugins/registry.ts'
import type { ProfileConfig } from '../profile.ts'
import type { Backoff } from '../queue.ts'
import type { NodeResourcesFitArgs } from './pluginargs.ts'
import { kubeSchedulerConfiguration, type ExtenderConfig, type KubeSchedulerConfiguration, type KubeSchedulerProfile } from './schema.ts'

const defaultName = 'default-scheduler'
const apiVersion = 'kubescheduler.config.k8s.io/v1'

/** What is said of leader election; what is absent is the command line's. */
export interface ElectionSettings {
  readonly leaderElect?: boolean
  readonly leaderElectLeaseDuration?: number
  readonly leaderElectRenewDeadline?: number
  readonly leaderElectRetryPeriod?: number
}
export interface Configuration {
  readonly profiles: readonly ProfileConfig[]
  readonly extenders: readonly ExtenderConfig[]
  readonly backoff: Backoff
  readonly election: ElectionSettings
}

/** Without a file. */
export const defaultConfiguration: Configuration = {
  profiles: [{ schedulerName: defaultName, plugins: defaultPlugins }],
  extenders: [],
  backoff: { initialMs: 1000, maxMs: 10_000 },
  election: {},
}

/** Throws one line that names the file. */
export const readConfiguration = async (file: string): Promise<Configuration> => configurationOf(await readText(file), file)

/** Of a text, which is that of `file` if there is one. Throws one line that says all that is wrong. */
export function configurationOf(text: string, file?: string): Configuration {
  const kind = { kind: 'KubeSchedulerConfiguration', apiVersion, schema: kubeSchedulerConfiguration, validate }
  const config = parseConfig(text, kind, file)
  const ignored = (config.extenders ?? []).flatMap(e => (e.managedResources ?? []).flatMap(r => (r.ignoredByScheduler ? [r.name] : [])))
  return {
    profiles: (config.profiles ?? [{}]).map(p => profileOf(p, config, ignored)),
    extenders: config.extenders ?? [],
    backoff: { initialMs: (config.podInitialBackoffSeconds ?? 1) * 1000, maxMs: (config.podMaxBackoffSeconds ?? 10) * 1000 },
    election: electionOf(config),
  }
}

function electionOf({ leaderElection: e = {} }: KubeSchedulerConfiguration): ElectionSettings {
  const ms = <K extends string>(key: K, text: string | undefined) => (text === undefined ? {} : { [key]: parseDuration(text) ?? 0 })
  return {
    ...(e.leaderElect === undefined ? {} : { leaderElect: e.leaderElect }),
    ...ms('leaderElectLeaseDuration', e.leaseDuration),
    ...ms('leaderElectRenewDeadline', e.renewDeadline),
    ...ms('leaderElectRetryPeriod', e.retryPeriod),
  }
}

/** As upstream merges them: what replaces a default is in its place, the rest behind. */
function merged(defaults: Enablement, { enabled = [], disabled = [] }: Enablement): Enablement {
  const off = new Set(disabled.map(d => d.name))
  const kept = off.has('*') ? [] : (defaults.enabled ?? []).filter(d => !off.has(d.name))
  const usual = new Set(kept.map(d => d.name))
  return {
    enabled: [...kept.map(d => enabled.findLast(e => e.name === d.name) ?? d), ...enabled.filter(e => !usual.has(e.name))],
    disabled,
  }
}

function profileOf(
  { schedulerName = defaultName, plugins, pluginConfig = [], percentageOfNodesToScore }: KubeSchedulerProfile,
  config: KubeSchedulerConfiguration,
  ignored: readonly string[],
): ProfileConfig {
  const sets: PluginSets = {
    ...Object.fromEntries(points.map(point => [point, merged({}, plugins?.[point] ?? {})])),
    multiPoint: merged({ enabled: defaultMultiPoint }, plugins?.multiPoint ?? {}),
  }
  for (const point of [...points, 'multiPoint'] as const) {
    const unknown = sets[point]?.enabled?.find(({ name }) => !Object.hasOwn(inTreePlugins, name))
    if (unknown)
      throw new Error(`initializing profiles: creating profile for scheduler name ${schedulerName}: ${doesNotExist(point, unknown.name)}`)
  }
  const wanted = new Set(Object.values(sets).flatMap(e => (e?.enabled ?? []).map(p => p.name)))
  const made = [...wanted].map(name => {
    const args = argsOf(name, pluginConfig.find(c => c.name === name)?.args)
    if (name === 'NodeResourcesFit' && ignored.length > 0) {
      const fit = args as NodeResourcesFitArgs
      fit.ignoredResources = [...(fit.ignoredResources ?? []), ...ignored]
    }
    return { plugin: inTreePlugins[name]!.make(args) }
  })
  const percentage = percentageOfNodesToScore ?? config.percentageOfNodesToScore
  return { schedulerName, plugins: made, sets, ...(percentage === undefined ? {} : { percentageOfNodesToScore: percentage }) }
}

/** The arguments of a plugin with their defaults. Throws what upstream says of bad ones. */
function argsOf(name: string, given: unknown): object {
  const kind = Object.hasOwn(inTreePlugins, name) ? inTreePlugins[name]!.args : undefined
  if (!kind) return {}
  const expected = `${name}Args`
  const { object, unknown, duplicate } = decode(kind.schema, JSON.stringify(given ?? {}))
  const own = object as { kind?: string; apiVersion?: string }
  if (own.kind !== undefined && own.kind !== expected)
    throw new Error(
      `args for plugin ${name} were not of type ${expected}.kubescheduler.config.k8s.io, got ${own.kind}.${own.apiVersion?.split('/')[0] ?? ''}`,
    )
  const complaints = strictErrors({ unknown, duplicate })
  if (complaints.length > 0) throw new Error(`strict decoding error: ${complaints.join(', ')}`)
  kind.defaults(object)
  return object as object
}

function validate(config: KubeSchedulerConfiguration): FieldError[] {
  const { parallelism = 16, podInitialBackoffSeconds: initial = 1, podMaxBackoffSeconds: max = 10, profiles, extenders = [] } = config
  const { leaderElect = true, resourceLock = 'leases' } = config.leaderElection ?? {}
  const at = new Path('profiles')
  return [
    ...(leaderElect && resourceLock !== 'leases'
      ? [invalid(new Path('leaderElection').child('resourceLock'), resourceLock, 'resourceLock value must be "leases"')]
      : []),
    ...(parallelism > 0 ? [] : [invalid(new Path('parallelism'), parallelism, 'should be an integer value greater than zero')]),
    ...(profiles ? validateProfiles(profiles, at) : []),
    ...validatePercentage(config.percentageOfNodesToScore, new Path('percentageOfNodesToScore')),
    ...(initial > 0 ? [] : [invalid(new Path('podInitialBackoffSeconds'), initial, 'must be greater than 0')]),
    ...(max >= initial
      ? []
      : [invalid(new Path('podMaxBackoffSeconds'), max, 'must be greater than or equal to PodInitialBackoffSeconds')]),
    ...validateExtenders(extenders, new Path('extenders')),
  ]
}

function validateProfiles(profiles: readonly KubeSchedulerProfile[], at: Path): FieldError[] {
  // One profile without a name has the default one; of several each must say it.
  const nameOf = (p: KubeSchedulerProfile): string => p.schedulerName || (profiles.length === 1 ? defaultName : '')
  const sorting = JSON.stringify(profiles[0]?.plugins?.queueSort ?? {})
  return [
    ...(profiles.length === 0 ? [required(at)] : []),
    ...profiles.flatMap((profile, i) => {
      const here = at.index(i)
      const name = nameOf(profile)
      const first = profiles.findIndex(p => nameOf(p) === name)
      const queueSort = profile.plugins?.queueSort ?? {}
      return [
        ...(name === '' ? [required(here.child('schedulerName'))] : []),
        ...validatePercentage(profile.percentageOfNodesToScore, here.child('percentageOfNodesToScore')),
        ...validateArgs(profile, here),
        ...(first < i ? [duplicate(here.child('schedulerName'), String(at.index(first).child('schedulerName')))] : []),
        ...(JSON.stringify(queueSort) === sorting
          ? []
          : [invalid(here.child('plugins', 'queueSort'), queueSort, 'must be the same for all profiles')]),
      ]
    }),
  ]
}

function validateArgs({ pluginConfig = [] }: KubeSchedulerProfile, at: Path): FieldError[] {
  return pluginConfig.flatMap(({ name, args }, i) => {
    const here = at.child('pluginConfig').index(i)
    if (pluginConfig.findIndex(c => c.name === name) < i) return [duplicate(here, name)]
    try {
      const object = argsOf(name, args)
      return Object.hasOwn(inTreePlugins, name) ? (inTreePlugins[name]!.args?.validate(object, here.child('args')) ?? []) : []
    } catch (e) {
      throw new Error(`strict decoding error: decoding .${here}: ${(e as Error).message}`)
    }
  })
}

const validatePercentage = (percentage: number | undefined, at: Path): FieldError[] =>
  percentage !== undefined && (percentage < 0 || percentage > 100) ? [invalid(at, percentage, 'not in valid range [0-100]')] : []

function validateExtenders(extenders: readonly ExtenderConfig[], at: Path): FieldError[] {
  const managed = new Set<string>()
  const errors = extenders.flatMap(({ prioritizeVerb, weight = 0, managedResources = [] }, i) => {
    const here = at.index(i)
    return [
      ...(prioritizeVerb && weight <= 0 ? [invalid(here.child('weight'), weight, 'must have a positive weight applied to it')] : []),
      ...managedResources.flatMap(({ name }, j) => {
        const field = here.child('managedResources').index(j).child('name')
        const seen = managed.has(name)
        managed.add(name)
        const bad = isQualifiedName(name)
        return [
          ...bad.map(detail => invalid(field, name, detail)),
          ...(bad.length === 0 && !isExtendedResource(name) ? [invalid(field, name, 'is an invalid extended resource name')] : []),
          ...(seen ? [invalid(field, name, 'duplicate extender managed resource name')] : []),
        ]
      }),
    ]
  })
  const binders = extenders.filter(e => e.bindVerb).length
  const several = `found ${binders} extenders implementing bind`
  return [...errors, ...(binders > 1 ? [invalid(at, several, 'only one extender can implement bind')] : [])]
}
