/**
 * What is said of addresses that old objects may hold but new ones should not (k8s.io/apimachinery/pkg/util/validation GetWarningsForIP).
 */
import { canonicalIP, parseCIDR } from './ip.ts'
import type { Path } from './field.ts'

const isPlainV4 = (text: string): boolean => !text.includes(':') && canonicalIP(text) === text
const isMapped = (text: string, canonical: string): boolean => text.includes(':') && !canonical.includes(':')

export function warningsForIP(value: string, at: Path): string[] {
  const canonical = canonicalIP(value)
  if (canonical === undefined || isPlainV4(value)) return []
  const [shown, better] = [JSON.stringify(value), JSON.stringify(canonical)]
  if (!value.includes(':') || isMapped(value, canonical))
    return [`${at}: non-standard IP address ${shown} will be considered invalid in a future Kubernetes release: use ${better}`]
  return canonical === value ? [] : [`${at}: IPv6 address ${shown} should be in RFC 5952 canonical format (${better})`]
}

export function warningsForCIDR(value: string, at: Path): string[] {
  const range = parseCIDR(value)
  if (!range) return []
  const [address = '', length = ''] = value.split('/')
  const canonical = canonicalIP(address)!
  const [base, shown] = [JSON.stringify(`${textOf(range.base, range.width)}/${range.prefix}`), JSON.stringify(value)]
  const warnings: string[] = []
  if (canonical !== textOf(range.base, range.width))
    warnings.push(
      `${at}: CIDR value ${shown} is ambiguous in this context (should be ${base} or ${JSON.stringify(`${canonical}/${range.width}`)}?)`,
    )
  const standard = !/^0./.test(length) && (address.includes(':') ? !isMapped(address, canonical) : address === canonical)
  if (!standard)
    warnings.push(`${at}: non-standard CIDR value ${shown} will be considered invalid in a future Kubernetes release: use ${base}`)
  else if (address !== canonical)
    warnings.push(`${at}: IPv6 CIDR value ${shown} should be in RFC 5952 canonical format (${JSON.stringify(`${canonical}/${length}`)})`)
  return warnings
}

function textOf(bits: bigint, width: 32 | 128): string {
  const size = width === 32 ? 8 : 16
  const parts = Array.from({ length: width / size }, (_, i) =>
    Number((bits >> BigInt(width - size * (i + 1))) & ((1n << BigInt(size)) - 1n)),
  )
  return canonicalIP(width === 32 ? parts.join('.') : parts.map(p => p.toString(16)).join(':'))!
}
