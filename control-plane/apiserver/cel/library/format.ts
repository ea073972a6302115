/** Named formats of texts: k8s.io/apiserver/pkg/cel/library/format.go. */
import { isLabelValue, isQualifiedName, nameIsDNS1035Label, nameIsDNSLabel, nameIsDNSSubdomain } from '#shared/machinery/names.ts'
import { normalBase64, normalTime } from '#shared/machinery/scalar.ts'
import { parseRequestURI } from '#shared/machinery/url.ts'
import { sizeOrUnknown, traversed } from '../estimate.ts'
import { member, overload, type Library, type Overload } from '../functions.ts'
import { scaled } from '../range.ts'
import { list, opaque, optional, string } from '../types.ts'
import { ArrayList, none, Opaque, Optional, sizeOf, type Value } from '../values.ts'
import { fixed } from './costs.ts'

const formatType = opaque('kubernetes.NamedFormat')

class NamedFormat extends Opaque {
  override readonly type = formatType
  readonly name: string
  readonly validate: (text: string) => readonly string[]
  /** The length of a regular expression of the format, for its cost. */
  readonly length: number
  constructor(name: string, length: number, validate: (text: string) => readonly string[]) {
    super()
    this.name = name
    this.length = length
    this.validate = validate
  }
  override equals(other: NamedFormat): boolean {
    return this.name === other.name
  }
}

const urlLength = 1103
const dateTimeLength = 97
const says = (valid: boolean, otherwise: string): string[] => (valid ? [] : [otherwise])

const formats: Readonly<Record<string, NamedFormat>> = {
  dns1123Label: new NamedFormat('DNS1123Label', 30, s => nameIsDNSLabel(s, false)),
  dns1123Subdomain: new NamedFormat('DNS1123Subdomain', 60, s => nameIsDNSSubdomain(s, false)),
  dns1035Label: new NamedFormat('DNS1035Label', 30, s => nameIsDNS1035Label(s, false)),
  qualifiedName: new NamedFormat('QualifiedName', 60, isQualifiedName),
  dns1123LabelPrefix: new NamedFormat('DNS1123LabelPrefix', 30, s => nameIsDNSLabel(s, true)),
  dns1123SubdomainPrefix: new NamedFormat('DNS1123SubdomainPrefix', 60, s => nameIsDNSSubdomain(s, true)),
  dns1035LabelPrefix: new NamedFormat('DNS1035LabelPrefix', 30, s => nameIsDNS1035Label(s, true)),
  labelValue: new NamedFormat('LabelValue', 40, isLabelValue),
  uri: new NamedFormat('URI', urlLength, s => {
    const url = parseRequestURI(s)
    return typeof url === 'string' ? [url] : []
  }),
  uuid: new NamedFormat('uuid', 87, s =>
    says(/^[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}$/i.test(s), 'does not match the UUID format'),
  ),
  byte: new NamedFormat('byte', 84, s => says(s !== '' && normalBase64(s) !== undefined, 'invalid base64')),
  date: new NamedFormat('date', dateTimeLength, s => says(normalTime(`${s}T00:00:00Z`) !== undefined, 'invalid date')),
  datetime: new NamedFormat('datetime', dateTimeLength, s => says(normalTime(s) !== undefined, 'invalid datetime')),
}

function validate(format: NamedFormat, text: string): Value {
  const wrong = format.validate(text)
  return wrong.length === 0 ? none : new Optional(new ArrayList(wrong))
}

/** Of a name's format, by which upstream estimates all. */
const nameFormatLength = 128

const named: [string, Overload[]][] = Object.entries(formats).map(([name, format]) => [
  `format.${name}`,
  [overload(`format.${name}`, [], formatType, () => format)],
])

export const namedFormats: Library = {
  functions: new Map<string, readonly Overload[]>([
    [
      'validate',
      [
        member('format-validate', [formatType, string], optional(list(string)), validate, {
          cost: args => Math.ceil((1 + sizeOf(args[1]!)) * 0.1) * Math.ceil((args[0] as NamedFormat).length * 0.25),
          estimate: ([, text]) => ({ cost: scaled(traversed(sizeOrUnknown(text)), nameFormatLength * 0.25) }),
        }),
      ],
    ],
    [
      'format.named',
      [
        overload(
          'format-named',
          [string],
          optional(formatType),
          (name: string) => (Object.hasOwn(formats, name) ? new Optional(formats[name]!) : none),
          fixed(1),
        ),
      ],
    ],
    ...named,
  ]),
  types: [formatType],
}
