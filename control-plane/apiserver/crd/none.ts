/**
 * The list of custom resource definitions: there are none yet. kubectl asks for it when a manifest's kind is unknown, and only says so (`no
 * matches for kind ...`) after it has seen that no definition adds the kind.
 */
import { typeMeta } from '#shared/api/meta/objectmeta.ts'
import type { Resource } from '#shared/api/resource.ts'
import { obj } from '#shared/machinery/schema.ts'
import { notFound } from '#shared/machinery/status.ts'
import type { RequestContext } from '../chain/chain.ts'
import { noSuchMethod, valueAnswer, type Answer } from '../chain/response.ts'
import type { Registry } from '../registry/registry.ts'
import { outputOf, writingOf } from '../verbs/context.ts'

export const definitions: Resource = {
  group: 'apiextensions.k8s.io',
  version: 'v1',
  kind: 'CustomResourceDefinition',
  plural: 'customresourcedefinitions',
  singular: 'customresourcedefinition',
  namespaced: false,
  schema: obj('io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.CustomResourceDefinition', '', typeMeta),
  verbs: ['list'],
}
const apiVersion = 'apiextensions.k8s.io/v1'
const groupResource = { group: 'apiextensions.k8s.io', resource: 'customresourcedefinitions' }

export async function noDefinitions(ctx: RequestContext, registry: Registry): Promise<Answer> {
  if (ctx.info.verb === 'get') throw notFound(groupResource, ctx.info.name)
  if (ctx.info.verb !== 'list') throw noSuchMethod()
  const list = { kind: 'CustomResourceDefinitionList', apiVersion, metadata: { resourceVersion: String(registry.version) }, items: [] }
  return valueAnswer(200, list, writingOf(ctx, outputOf(ctx)))
}
