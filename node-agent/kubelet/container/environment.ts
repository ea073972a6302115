/** A container's environment: service variables, envFrom, env; later ones win, and env may refer to earlier ones. */
import { Buffer } from 'node:buffer'
import type { ConfigMap } from '#shared/api/core/configmap.ts'
import type { Pod } from '#shared/api/core/pod.ts'
import type { Container } from '#shared/api/core/podspec/container.ts'
import type { EnvVar } from '#shared/api/core/podspec/env.ts'
import type { EphemeralContainer } from '#shared/api/core/podspec/ephemeralcontainer.ts'
import type { Secret } from '#shared/api/core/secret.ts'
import { parseEnvFile } from './envfile.ts'
import { expand } from './expansion.ts'
import { fieldValue, resourceValue, type NodeFacts } from './fieldref.ts'

/** Looks up objects of the pod's namespace; undefined when they do not exist. */
export interface EnvironmentSources {
  configMap(name: string): Promise<ConfigMap | undefined>
  secret(name: string): Promise<Secret | undefined>
  /** A file of one of the pod's volumes, undefined when there is none. Rejects when there is no such volume. */
  file(volume: string, path: string): Promise<string | undefined>
}

const decode = (base64: string): string => Buffer.from(base64, 'base64').toString('utf8')
const configMapMissing = (name: string): Error => new Error(`configmap "${name}" not found`)
const secretMissing = (name: string): Error => new Error(`secret "${name}" not found`)

async function fromSource(
  env: EnvVar,
  pod: Pod,
  container: Container | EphemeralContainer,
  sources: EnvironmentSources,
  facts: NodeFacts,
): Promise<string | undefined> {
  const from = env.valueFrom!
  const namespace = pod.metadata.namespace ?? ''
  if (from.fieldRef) return fieldValue(pod, from.fieldRef.fieldPath, facts)
  if (from.resourceFieldRef) return resourceValue(pod, from.resourceFieldRef, container.name, facts)
  if (from.configMapKeyRef) {
    const { name = '', key, optional } = from.configMapKeyRef
    const found = await sources.configMap(name)
    const value = found?.data?.[key]
    if (value !== undefined || optional) return value
    throw found ? new Error(`couldn't find key ${key} in ConfigMap ${namespace}/${name}`) : configMapMissing(name)
  }
  if (from.secretKeyRef) {
    const { name = '', key, optional } = from.secretKeyRef
    const found = await sources.secret(name)
    const value = found?.data?.[key]
    if (value !== undefined) return decode(value)
    if (optional) return undefined
    throw found ? new Error(`couldn't find key ${key} in Secret ${namespace}/${name}`) : secretMissing(name)
  }
  if (from.fileKeyRef) {
    const { volumeName, path, key, optional } = from.fileKeyRef
    const text = await sources.file(volumeName, path)
    if (text === undefined && !optional) throw new Error(`couldn't parse env file: "${path}" is not in volume "${volumeName}"`)
    const value = parseEnvFile(text ?? '', key)
    if (value !== undefined || optional) return value
    throw new Error(`environment variable key "${key}" not found in file "${path}"`)
  }
  throw new Error(`env ${env.name}: source of the value is not supported`)
}

/** Throws, in upstream's words, what becomes the message of CreateContainerConfigError. */
export async function environment(
  pod: Pod,
  container: Container | EphemeralContainer,
  services: ReadonlyMap<string, string>,
  sources: EnvironmentSources,
  facts: NodeFacts,
): Promise<Map<string, string>> {
  const out = new Map<string, string>()
  for (const { prefix = '', configMapRef, secretRef } of container.envFrom ?? []) {
    if (configMapRef) {
      const found = await sources.configMap(configMapRef.name ?? '')
      if (!found && !configMapRef.optional) throw configMapMissing(configMapRef.name ?? '')
      for (const [key, value] of Object.entries(found?.data ?? {})) out.set(prefix + key, value)
    }
    if (secretRef) {
      const found = await sources.secret(secretRef.name ?? '')
      if (!found && !secretRef.optional) throw secretMissing(secretRef.name ?? '')
      for (const [key, value] of Object.entries(found?.data ?? {})) out.set(prefix + key, decode(value))
    }
  }
  const lookup = (name: string): string | undefined => out.get(name) ?? services.get(name)
  for (const env of container.env ?? []) {
    const value = env.valueFrom ? await fromSource(env, pod, container, sources, facts) : expand(env.value ?? '', lookup)
    if (value !== undefined) out.set(env.name, value)
  }
  // A Service never replaces what the pod says.
  for (const [name, value] of services) if (!out.has(name)) out.set(name, value)
  return out
}
