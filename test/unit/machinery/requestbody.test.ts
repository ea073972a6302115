import { describe, expect, it } from 'vitest'
import { pod } from '#shared/api/core/pod.ts'
import { structCodec } from '#shared/machinery/codec.ts'
import { decodeBody, type BodyOptions } from '#shared/machinery/requestbody.ts'
import { StatusError } from '#shared/machinery/status.ts'
import { yamlToJson } from '#shared/machinery/yaml.ts'

const options: BodyOptions = { kind: 'Pod', apiVersion: 'v1', mediaType: 'application/json', fieldValidation: 'Warn' }
const read = (text: string, more: Partial<BodyOptions> = {}): { object: unknown; warnings: string[] } =>
  decodeBody(structCodec(pod.schema), Buffer.from(text), { ...options, ...more })
const failure = (text: string, more: Partial<BodyOptions> = {}): string => {
  try {
    read(text, more)
  } catch (e) {
    if (e instanceof StatusError && e.code === 400 && e.reason === 'BadRequest') return e.message
    throw e
  }
  return 'no error'
}

describe('request bodies', () => {
  it('warn, refuse or stay silent about unknown and duplicate fields', () => {
    const body = '{"spec":{"foo":1,"containers":[{"name":"a","name":"b"}]}}'
    expect(read(body).warnings).toEqual(['duplicate field "spec.containers[0].name"', 'unknown field "spec.foo"'])
    expect(read(body, { fieldValidation: 'Ignore' }).warnings).toEqual([])
    expect(failure(body, { fieldValidation: 'Strict' })).toBe(
      'Pod in version "v1" cannot be handled as a Pod: strict decoding error: duplicate field "spec.containers[0].name", unknown field "spec.foo"',
    )
  })
  it('are of the kind that the path names unless they say otherwise', () => {
    expect(read('{}').object).toMatchObject({ kind: 'Pod', apiVersion: 'v1' })
    expect(failure('{"kind":"Secret","apiVersion":"v1"}')).toMatch(/^Secret in version "v1" cannot be handled as a Pod: /)
    expect(failure('{"kind":"Pod","apiVersion":"v2"}')).toBe(
      'the API version in the data (v2) does not match the expected API version (v1)',
    )
    expect(failure('{"kind":"Secret","apiVersion":"v1","metadata":[]}')).toMatch(/^Secret in version "v1" cannot be handled as a Pod: /)
  })
  it('that cannot be read are told as upstream tells them', () => {
    const head = "the object provided is unrecognized (must be of type Pod): couldn't get version/kind; json parse error:"
    expect(failure('{not json')).toBe(`${head} invalid character 'n' looking for beginning of object key string ({not json)`)
    expect(failure('')).toBe(`${head} unexpected end of JSON input (<empty>)`)
    expect(failure('{"apiVersion":123}')).toBe(
      `${head} json: cannot unmarshal number into Go struct field .apiVersion of type string ({"apiVersion":123})`,
    )
    expect(failure('{"spec":{"hostNetwork":"x"}}')).toBe(
      'Pod in version "v1" cannot be handled as a Pod: json: cannot unmarshal string into Go struct field PodSpec.spec.hostNetwork of type bool',
    )
  })
  it('may be YAML', () => {
    const yaml = { mediaType: 'application/yaml' } as const
    expect(read('metadata:\n  name: a\nspec:\n  hostNetwork: yes\n', yaml).object).toMatchObject({
      metadata: { name: 'a' },
      spec: { hostNetwork: true },
    })
    expect(failure('metadata: {name: y}', yaml)).toContain(
      'cannot unmarshal bool into Go struct field ObjectMeta.metadata.name of type string',
    )
    expect(failure('a: [', yaml)).toMatch(/yaml: line 1/)
    expect(failure('- a', yaml)).toContain('cannot unmarshal array')
    expect(failure('metadata:\n  name: a\n  name: b\n', { ...yaml, fieldValidation: 'Strict' })).toContain(
      'yaml: unmarshal errors:\n  line 3: key "name" already set in map',
    )
  })
})

describe('YAML', () => {
  it('is read as YAML 1.1 without sexagesimals and dates', () => {
    expect(JSON.parse(yamlToJson('a: yes\nb: 0777\nc: 12:30\nd: 2001-01-01\ne: ~\nf: "y"\ng: 0x1F\nh: off\ni: 1_000\n').json)).toEqual({
      a: true,
      b: 511,
      c: '12:30',
      d: '2001-01-01',
      e: null,
      f: 'y',
      g: 31,
      h: false,
      i: 1000,
    })
  })
  it('does not expand a bomb', () => {
    const lines = ['a0: &a0 [x]', ...Array.from({ length: 9 }, (_, i) => `a${i + 1}: &a${i + 1} [${Array(9).fill(`*a${i}`).join(',')}]`)]
    expect(() => yamlToJson(lines.join('\n'))).toThrow(/alias/i)
  })
})
