/** In which form a client wants an OpenAPI document: k8s.io/kube-openapi/pkg/handler and handler3. */

export type Form = 'json' | 'protobuf'

/** What a protobuf form is called; `@` may not be in a media type, but kubectl asks for it so. */
const names = (version: 'v2' | 'v3'): readonly string[] => [
  `application/com.github.proto-openapi.spec.${version}.v1.0+protobuf`,
  `application/com.github.proto-openapi.spec.${version}@v1.0+protobuf`,
]
export const contentTypeOf = (version: 'v2' | 'v3', form: Form): string => (form === 'json' ? 'application/json' : names(version)[0]!)

const quality = (clause: string): number => Number(/;\s*q=([\d.]+)/.exec(clause)?.[1] ?? 1)

/** The first form of an Accept header that there is; undefined when there is none. */
export function formOf(accept: string | undefined, version: 'v2' | 'v3'): Form | undefined {
  if (!accept) return 'json'
  const clauses = accept.toLowerCase().split(',')
  for (const clause of clauses.sort((a, b) => quality(b) - quality(a))) {
    const type = clause.split(';')[0]!.trim()
    if (type === 'application/json' || type === 'application/*' || type === '*/*') return 'json'
    if (names(version).includes(type)) return 'protobuf'
  }
  return undefined
}
