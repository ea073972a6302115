/** The status of ValidatingAdmissionPolicies: which expressions do not fit the types that they are for. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { ValidatingAdmissionPolicy } from '#shared/api/admissionregistration/validatingadmissionpolicy.ts'
import { customResourceDefinitions, validatingAdmissionPolicies } from '#shared/api/kinds.ts'
import { validatingAdmissionPolicyStatusController } from '#control-plane/controller-manager/validatingadmissionpolicystatus.ts'
import { defaultSettings, runControllers } from '#control-plane/controller-manager/controllers.ts'
import { quiet, startControl, until, type Control } from './setup.ts'

let c: Control
const stop = new AbortController()
let done: Promise<void>
beforeAll(async () => {
  c = await startControl()
  done = runControllers((await c.managerClient()) as never, defaultSettings, stop.signal, quiet, {
    which: [validatingAdmissionPolicyStatusController],
  })
})
afterAll(async () => {
  stop.abort()
  await done
  await c?.stop()
})

const rules = (group: string, resource: string) => ({
  resourceRules: [{ apiGroups: [group], apiVersions: ['v1'], operations: ['CREATE'], resources: [resource] }],
})
async function checked(name: string, spec: object) {
  await c.client.create(validatingAdmissionPolicies, '', { metadata: { name }, spec } as unknown as ValidatingAdmissionPolicy)
  return warnings(name, 1)
}
const warnings = (name: string, generation: number) =>
  until('the types to be checked', async () => {
    const { status } = await c.client.get(validatingAdmissionPolicies, '', name)
    return status?.observedGeneration === generation && status.typeChecking && [status.typeChecking.expressionWarnings ?? []]
  }).then(([found]) => found!)

test('what fits has no warning', async () => {
  expect(
    await checked('fits', {
      matchConstraints: rules('apps', 'deployments'),
      variables: [{ name: 'containers', expression: 'object.spec.template.spec.containers' }],
      validations: [
        { expression: 'object.spec.replicas > 1', messageExpression: "'got ' + string(object.spec.replicas)" },
        { expression: "variables.containers.all(c, c.image.startsWith('x') && c.ports.all(p, p.containerPort < 1000))" },
        { expression: "object.metadata.labels['a'] == 'b' && object.metadata.creationTimestamp < timestamp('2030-01-01T00:00:00Z')" },
        { expression: 'has(object.metadata.__namespace__) && request.namespace == object.metadata.namespace' },
      ],
    }),
  ).toEqual([])
})

test('what does not fit is told with its place, kind by kind, and told anew when the policy changes', async () => {
  const found = await checked('confused', {
    matchConstraints: rules('apps', 'deployments'),
    validations: [{ expression: "object.spec.replicas > '1'", messageExpression: "'got ' + object.spec.replicas" }],
  })
  expect(found.map(w => w.fieldRef)).toEqual(['spec.validations[0].expression', 'spec.validations[0].messageExpression'])
  expect(found[0]!.warning).toContain(
    "apps/v1, Kind=Deployment: ERROR: <input>:1:22: found no matching overload for '_>_' applied to '(int, string)'",
  )
  expect(found[1]!.warning).toContain("found no matching overload for '_+_' applied to '(string, int)'")
  await c.client.patch(validatingAdmissionPolicies, '', 'confused', 'merge', {
    spec: { validations: [{ expression: 'object.spec.nothing == 1' }] },
  })
  const [undefinedField] = await warnings('confused', 2)
  expect(undefinedField!.warning).toContain("undefined field 'nothing'")
})

test('custom resources have types, as objects and as parameters', async () => {
  const properties = {
    spec: { type: 'object', properties: { size: { type: 'integer' }, names: { type: 'array', items: { type: 'string' } } } },
  }
  await c.client.create(customResourceDefinitions, '', {
    metadata: { name: 'things.types.example.com' },
    spec: {
      group: 'types.example.com',
      scope: 'Namespaced',
      names: { plural: 'things', kind: 'Thing' },
      versions: [{ name: 'v1', served: true, storage: true, schema: { openAPIV3Schema: { type: 'object', properties } } }],
    },
  } as never)
  await until('the kind to be served', async () =>
    (await c.client.get(customResourceDefinitions, '', 'things.types.example.com')).status?.conditions?.some(
      x => x.type === 'Established' && x.status === 'True',
    ),
  )
  const found = await checked('custom', {
    paramKind: { apiVersion: 'types.example.com/v1', kind: 'Thing' },
    matchConstraints: rules('types.example.com', 'things'),
    validations: [
      { expression: 'object.spec.names.exists(n, n == object.metadata.name) && object.spec.size < params.spec.size' },
      { expression: "object.spec.size == 'x'" },
      { expression: 'params.spec.missing == 1' },
    ],
  })
  expect(found).toEqual([
    { fieldRef: 'spec.validations[1].expression', warning: expect.stringContaining("applied to '(int, string)'") },
    { fieldRef: 'spec.validations[2].expression', warning: expect.stringContaining("undefined field 'missing'") },
  ])
})

test('what is for everything is not checked', async () => {
  expect(await checked('all', { matchConstraints: rules('*', 'configmaps'), validations: [{ expression: 'object.data.x == 1' }] })).toEqual(
    [],
  )
})
