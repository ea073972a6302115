/** Expressions: how often a usual rule is evaluated, and how often a custom resource with five rules is judged. In this process. */
import { compile, newEnvironment } from '#control-plane/apiserver/cel/cel.ts'
import { rulesOf } from '#control-plane/apiserver/cel/crd/definitions.ts'
import { declare } from '#control-plane/apiserver/cel/schema/structural.ts'
import type { JsonSchema } from '#shared/machinery/structural/schema.ts'
import type { LocalMeasurement } from './measurement.ts'

const evaluations = 300_000
const schema: JsonSchema = {
  type: 'object',
  properties: {
    replicas: { type: 'integer' },
    minReplicas: { type: 'integer' },
    maxReplicas: { type: 'integer' },
    image: { type: 'string', maxLength: 100 },
    ports: {
      type: 'array',
      maxItems: 20,
      items: { type: 'object', properties: { name: { type: 'string', maxLength: 20 }, port: { type: 'integer' } } },
    },
  },
  'x-kubernetes-validations': [
    { rule: 'self.minReplicas <= self.replicas && self.replicas <= self.maxReplicas' },
    { rule: "self.image.startsWith('registry.example/')" },
    { rule: 'self.ports.all(p, p.port > 0 && p.port < 65536)' },
    { rule: "self.ports.exists(p, p.name == 'http')" },
    { rule: "!has(self.image) || self.image.matches('^[a-z0-9./-]+(:[a-z0-9.-]+)?$')", messageExpression: "'image ' + self.image" },
  ],
}
const spec = {
  replicas: 3,
  minReplicas: 1,
  maxReplicas: 5,
  image: 'registry.example/team/app:1.2.3',
  ports: [
    { name: 'metrics', port: 9090 },
    { name: 'http', port: 8080 },
  ],
}

function rate(run: () => boolean): number {
  for (let i = 0; i < 10_000; i++) if (!run()) throw new Error('an expression is not true')
  const began = performance.now()
  for (let i = 0; i < evaluations; i++) run()
  return evaluations / ((performance.now() - began) / 1000)
}

export const measureCel: LocalMeasurement = async () => {
  const declared = declare(schema, 'self', false)!
  const { rule } = schema['x-kubernetes-validations']![0]!
  const { program } = compile(rule, newEnvironment({ variables: { self: declared.type } }))
  const judge = rulesOf({ type: 'object', properties: { spec: schema } })!
  const object = { apiVersion: 'example.com/v1', kind: 'App', metadata: { name: 'app' }, spec }
  return [
    {
      name: 'CEL: evaluations of a rule that compares three fields',
      unit: '/s',
      value: rate(() => program!.evaluate({ self: declared.adapt(spec) }).value === true),
      target: 500_000,
    },
    // 0.2 ms each.
    {
      name: 'CEL: custom resources judged by five rules',
      unit: '/s',
      value: rate(() => judge(object, undefined).length === 0),
      target: 5000,
    },
  ]
}
