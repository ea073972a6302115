/**
 * apiserver.config.k8s.io/v1 AdmissionConfiguration: the file that configures admission plugins (`--admission-control-config-file`), each
 * in the file itself or in one that it names.
 */
import { readFile } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'
import { typeMeta } from '#shared/api/meta/objectmeta.ts'
import { yamlToJson } from '#shared/machinery/yaml.ts'
import { any, list, obj, opt, req, str } from '#shared/machinery/schema.ts'
import { parseConfig, readConfigFile, type ConfigKind } from '#shared/component/configfile.ts'
import { openWebhookBackend, type WebhookBackend } from '../webhookbackend.ts'
import { podSecurityConfiguration, type PodSecurityConfiguration } from '../podsecurity/configuration.ts'
import { imagePolicySchema, type ImagePolicy } from './imagepolicywebhook.ts'
import type { LimitedResource } from './quotacheck.ts'

const name = (kind: string): string => `io.k8s.apiserver.config.v1.${kind}`
const plugin = obj(name('AdmissionPluginConfiguration'), '', () => ({
  name: req(0, str()),
  path: opt(0, str()),
  configuration: opt(0, any()),
}))
const schema = obj(name('AdmissionConfiguration'), '', () => ({ ...typeMeta(), plugins: opt(0, list(plugin)) }))
const admissionConfiguration: ConfigKind<typeof schema> = {
  kind: 'AdmissionConfiguration',
  apiVersion: 'apiserver.config.k8s.io/v1',
  schema,
  validate: () => [],
}

const matchScope = obj(name('ScopedResourceSelectorRequirement'), '', () => ({
  scopeName: req(0, str()),
  operator: req(0, str()),
  values: opt(0, list(str())),
}))
const limitedResource = obj(name('LimitedResource'), '', () => ({
  apiGroup: opt(0, str()),
  resource: req(0, str()),
  matchContains: opt(0, list(str())),
  matchScopes: opt(0, list(matchScope)),
}))
const quotaSchema = obj(name('ResourceQuotaConfiguration'), '', () => ({ ...typeMeta(), limitedResources: opt(0, list(limitedResource)) }))
const resourceQuotaConfiguration: ConfigKind<typeof quotaSchema> = {
  kind: 'ResourceQuotaConfiguration',
  apiVersion: 'apiserver.config.k8s.io/v1',
  schema: quotaSchema,
  validate: () => [],
}

export interface AdmissionConfiguration {
  readonly podSecurity?: PodSecurityConfiguration
  readonly limitedResources?: readonly LimitedResource[]
  readonly imagePolicy?: { readonly policy: ImagePolicy; readonly backend: WebhookBackend }
}

/** What the file says of each plugin that has something to configure. Throws one line that names the file that is wrong. */
export async function readAdmissionConfiguration(file: string | undefined): Promise<AdmissionConfiguration> {
  if (file === undefined) return {}
  const { plugins = [] } = await readConfigFile(file, admissionConfiguration)
  async function textFor(wanted: string): Promise<string | undefined> {
    const found = plugins.find(p => p.name === wanted)
    if (found?.configuration !== undefined) return JSON.stringify(found.configuration)
    return found?.path ? readFile(resolve(dirname(file!), found.path), 'utf8') : undefined
  }
  try {
    const [security, quota, images] = await Promise.all(['PodSecurity', 'ResourceQuota', 'ImagePolicyWebhook'].map(textFor))
    return {
      ...(security === undefined ? {} : { podSecurity: parseConfig(security, podSecurityConfiguration) }),
      ...(quota === undefined ? {} : { limitedResources: parseConfig(quota, resourceQuotaConfiguration).limitedResources ?? [] }),
      ...(images === undefined ? {} : { imagePolicy: await imagePolicyOf(images, dirname(file)) }),
    }
  } catch (e) {
    throw new Error(`${(e as Error).message}: from file ${file}`)
  }
}

/** The plugin's configuration has no version: it is what it always was. `directory` is where relative names of files begin. */
async function imagePolicyOf(text: string, directory: string): Promise<NonNullable<AdmissionConfiguration['imagePolicy']>> {
  const read = imagePolicySchema.safeParse(JSON.parse(yamlToJson(text).json))
  if (!read.success) throw new Error(read.error.issues.map(i => `${i.path.join('.')}: ${i.message}`).join('; '))
  const policy = read.data.imagePolicy
  return { policy, backend: await openWebhookBackend(resolve(directory, policy.kubeConfigFile), { firstPauseMs: policy.retryBackoff }) }
}
