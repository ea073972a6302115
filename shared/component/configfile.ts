/** Files that configure the server (audit's Policy, EncryptionConfiguration), YAML or JSON of a kind that no API serves, read strictly. */
import { readFile } from 'node:fs/promises'
import { decode, DecodeError } from '#shared/machinery/decode.ts'
import type { FieldError } from '#shared/machinery/field.ts'
import { strictErrors } from '#shared/machinery/requestbody.ts'
import type { Infer, ObjectSchema } from '#shared/machinery/schema.ts'
import { yamlToJson } from '#shared/machinery/yaml.ts'

/** `schema` is that of the kind without kind and apiVersion's values, which must be these. `validate` names all that is wrong. */
export interface ConfigKind<S extends ObjectSchema> {
  readonly kind: string
  readonly apiVersion: string
  /** Older versions that say the same. */
  readonly also?: readonly string[]
  readonly schema: S
  readonly validate: (config: Infer<S>) => FieldError[]
}

/** Throws one line that names the file when it cannot be read. */
export async function readText(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8')
  } catch (e) {
    throw new Error(`failed to read file path ${JSON.stringify(file)}: ${(e as Error).message}`)
  }
}

/** Throws one line that names the file: it cannot be read, is no YAML, of another kind, has unknown fields, or breaks a rule. */
export const readConfigFile = async <S extends ObjectSchema>(file: string, kind: ConfigKind<S>): Promise<Infer<S>> =>
  parseConfig(await readText(file), kind, file)

/** The same of a text, which is that of `file` if there is one. */
export function parseConfig<S extends ObjectSchema>(
  text: string,
  { kind, apiVersion, also = [], schema, validate }: ConfigKind<S>,
  file?: string,
): Infer<S> {
  const from = file === undefined ? '' : `: from file ${file}`
  try {
    const yaml = yamlToJson(text)
    const { object, unknown, duplicate } = decode(schema, yaml.json)
    const own = object as { kind?: string; apiVersion?: string }
    if (own.kind !== kind || ![apiVersion, ...also].includes(own.apiVersion ?? ''))
      throw new Error(
        `failed decoding: no kind ${JSON.stringify(own.kind ?? '')} is registered for version ${JSON.stringify(own.apiVersion ?? '')}; expected ${kind} of ${apiVersion}`,
      )
    const complaints = [...yaml.duplicate, ...strictErrors({ unknown, duplicate })]
    if (complaints.length > 0) throw new Error(`failed decoding: strict decoding error: ${complaints.join(', ')}`)
    const errors = validate(object)
    if (errors.length > 0) throw new Error(errors.map(e => `${e.field}: ${e.message}`).join(', '))
    return object
  } catch (e) {
    throw new Error(`${e instanceof DecodeError ? 'failed decoding: ' : ''}${(e as Error).message}${from}`)
  }
}
