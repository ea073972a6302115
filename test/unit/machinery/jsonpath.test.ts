import fc from 'fast-check'
import { expect, it } from 'vitest'
import { parseJsonPath } from '#shared/machinery/jsonpath.ts'

const object = {
  metadata: { name: 'web', annotations: { 'example.com/a.b': 'x' } },
  spec: { replicas: 3, ports: [80, 443, 8080], hosts: [{ name: 'a', port: 1 }, { name: 'b', port: 2, on: true }] }, // prettier-ignore
  status: { conditions: [{ type: 'Ready', status: 'True' }, { type: 'Synced', status: 'False' }] }, // prettier-ignore
}

it.each<[path: string, values: unknown[]]>([
  ['.metadata.name', ['web']],
  ['{.metadata.name}', ['web']],
  ['$.metadata.name', ['web']],
  ['metadata.name', ['web']],
  ['.metadata.annotations.example\\.com/a\\.b', ['x']],
  [".metadata.annotations['example.com/a.b']", ['x']],
  ['.metadata["name"]', ['web']],
  ['.spec.ports[0]', [80]],
  ['.spec.ports[-1]', [8080]],
  ['.spec.ports[3]', []],
  ['.spec.ports[1:]', [443, 8080]],
  ['.spec.ports[0:3:2]', [80, 8080]],
  ['.spec.ports[0,2]', [80, 8080]],
  ['.spec.ports[*]', [80, 443, 8080]],
  ['.spec.hosts[*].name', ['a', 'b']],
  ['.spec.hosts.*.port', [1, 2]],
  ['.status.conditions[?(@.type=="Ready")].status', ['True']],
  [".status.conditions[?(@.type == 'Synced')].status", ['False']],
  ['.spec.hosts[?(@.port>1)].name', ['b']],
  ['.spec.hosts[?(@.on)].name', ['b']],
  ['.spec.hosts[?(@.on==true)].name', ['b']],
  ['.spec.hosts[?(@.port!=1)].name', ['b']],
  ['.spec.hosts[?(@.none=="x")].name', []],
  ['..type', ['Ready', 'Synced']],
  ['.nothing.here', []],
  ['.metadata.name.deeper', []],
  ['.constructor', []],
])('%s', (path, values) => expect(parseJsonPath(path)(object)).toEqual(values))

it.each(['.spec.ports[', '.spec.ports[x]', '.a[?(@.b=="c"', '.a[?(', '.a]'])('%s is no path', path =>
  expect(() => parseJsonPath(path)).toThrow(),
)

it('finds any value by the names that lead to it', () => {
  const name = fc.stringMatching(/^[a-zA-Z0-9_/-]{1,8}(\.[a-z]{1,4})?$/)
  fc.assert(
    fc.property(fc.array(name, { minLength: 1, maxLength: 5 }), fc.jsonValue(), (names, value) => {
      const whole = names.reduceRight<unknown>((inner, n) => ({ [n]: inner }), value)
      const path = names.map(n => `.${n.replaceAll('.', '\\.')}`).join('')
      expect(parseJsonPath(path)(whole)).toEqual([value])
    }),
  )
})
