/**
 * Levels and versions of the standards, what a namespace's labels say of them, and which checks they mean
 * (k8s.io/pod-security-admission/api).
 */
import type { ObjectMeta } from '#shared/api/meta/objectmeta.ts'
import type { PodSpec } from '#shared/api/core/podspec/podspec.ts'
import { invalid, Path, type FieldError } from '#shared/machinery/field.ts'
import type { Check, CheckPod, Violation } from './check.ts'
import { hostNamespaces, hostPorts, hostProbesAndHostLifecycle, windowsHostProcess } from './host.ts'
import {
  allowPrivilegeEscalation,
  capabilitiesBaseline,
  capabilitiesRestricted,
  privileged,
  procMount,
  procMountRestricted,
} from './privileges.ts'
import { appArmorProfile, seccompProfileBaseline, seccompProfileRestricted, seLinuxOptions } from './profiles.ts'
import { sysctls } from './sysctls.ts'
import { runAsNonRoot, runAsUser } from './users.ts'
import { hostPathVolumes, restrictedVolumes } from './volumes.ts'

export const levels = ['privileged', 'baseline', 'restricted'] as const
export type Level = (typeof levels)[number]
/** A minor version of Kubernetes 1, or the latest. */
export type Version = number | 'latest'
export interface LevelVersion {
  readonly level: Level
  readonly version: Version
}
export interface Policy {
  readonly enforce: LevelVersion
  readonly audit: LevelVersion
  readonly warn: LevelVersion
}
export const modes = ['enforce', 'audit', 'warn'] as const

/** `baseline:v1.30`, `restricted:latest` */
export const formatLevel = ({ level, version }: LevelVersion): string => `${level}:${version === 'latest' ? version : `v1.${version}`}`
export const isFullyPrivileged = (p: Policy): boolean => modes.every(mode => p[mode].level === 'privileged')
const strictness = (level: Level): number => levels.indexOf(level)
/** Whether `a` is stricter than `b`. */
export const isStricter = (a: Level, b: Level): boolean => strictness(a) > strictness(b)
export const isSame = (a: LevelVersion, b: LevelVersion): boolean => a.level === b.level && a.version === b.version

/** The level of that name, undefined when there is none. */
export const parseLevel = (text: string): Level | undefined => levels.find(level => level === text)
export const levelError = `must be one of ${levels.join(', ')}`
/** `latest` or `v1.x`, undefined for anything else. */
export function parseVersion(text: string): Version | undefined {
  if (text === 'latest') return text
  const m = /^v1\.(0|[1-9]\d{0,8})$/.exec(text)
  return m ? Number(m[1]) : undefined
}
export const versionError = 'must be "latest" or "v1.x"'

export const labelPrefix = 'pod-security.kubernetes.io/'

/**
 * What labels make of the defaults, and what is wrong with them. A level that is none enforces the strictest, and neither audits nor warns;
 * a version that is none is the latest. Who is enforced more than warned is warned the same.
 */
export function policyOf(labels: Readonly<Record<string, string>> | undefined, defaults: Policy): { policy: Policy; errors: FieldError[] } {
  const errors: FieldError[] = []
  if (!labels) return { policy: defaults, errors }
  const value = <T>(label: string, parse: (text: string) => T | undefined, otherwise: T, message: string): T | undefined => {
    const text = labels[`${labelPrefix}${label}`]
    if (text === undefined) return undefined
    const parsed = parse(text)
    if (parsed === undefined) errors.push(invalid(new Path('metadata').child('labels').key(`${labelPrefix}${label}`), text, message))
    return parsed ?? otherwise
  }
  const mode = (name: (typeof modes)[number], otherwise: Level): LevelVersion => ({
    level: value(name, parseLevel, otherwise, levelError) ?? defaults[name].level,
    version: value<Version>(`${name}-version`, parseVersion, 'latest', versionError) ?? defaults[name].version,
  })
  const enforce = mode('enforce', 'restricted')
  const audit = mode('audit', 'privileged')
  let warn = mode('warn', 'privileged')
  const says = (label: string): boolean => labels[`${labelPrefix}${label}`] !== undefined
  const enforces = parseLevel(labels[`${labelPrefix}enforce`] ?? '') !== undefined
  if (!says('warn') && enforces && isStricter(enforce.level, warn.level))
    warn = { level: enforce.level, version: says('warn-version') ? warn.version : enforce.version }
  return { policy: { enforce, audit, warn }, errors }
}

/** In the order in which violations are told: those of the baseline first, each by their names. */
const checks: readonly Check[] = [
  appArmorProfile,
  capabilitiesBaseline,
  hostNamespaces,
  hostPathVolumes,
  hostPorts,
  hostProbesAndHostLifecycle,
  privileged,
  procMount,
  seLinuxOptions,
  seccompProfileBaseline,
  sysctls,
  windowsHostProcess,
  allowPrivilegeEscalation,
  capabilitiesRestricted,
  procMountRestricted,
  restrictedVolumes,
  runAsNonRoot,
  runAsUser,
  seccompProfileRestricted,
]
/** The standards change no more from here on. */
const newest = 35

const selected = new Map<string, readonly CheckPod[]>()
function checksOf({ level, version }: LevelVersion): readonly CheckPod[] {
  if (level === 'privileged') return []
  const minor = version === 'latest' ? newest : Math.min(version, newest)
  const key = `${level}/${minor}`
  let found = selected.get(key)
  if (!found) {
    const held = checks.flatMap(c => {
      const current = c.versions.findLast(v => v.from <= minor)
      return current && (c.level === 'baseline' || level === 'restricted') ? [{ ...c, check: current.check }] : []
    })
    const overridden = new Set(held.flatMap(c => c.overrides ?? []))
    selected.set(key, (found = held.filter(c => !overridden.has(c.id)).map(c => c.check)))
  }
  return found
}

/** What a pod violates of a level. */
export const violations = (level: LevelVersion, spec: PodSpec, metadata: ObjectMeta): Violation[] =>
  checksOf(level).flatMap(check => check(spec, metadata) ?? [])
/** `privileged (container "a" must not ...), hostPort (...)` */
export const formatViolations = (all: readonly Violation[]): string =>
  all.map(({ reason, detail }) => (detail === '' ? reason : `${reason} (${detail})`)).join(', ')
