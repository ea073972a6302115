/** Command-line flags of the components: names and meanings as upstream's, checked by zod, one clear line when wrong. */
import { parseArgs } from 'node:util'
import * as z from 'zod'

/** A duration flag, `40s`, `1m30s`, `500ms`, in ms. */
export const durationFlag = () =>
  z.string().transform((text, ctx) => {
    const units: Record<string, number> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 }
    let total = 0
    const rest = text.replace(/([0-9.]+)(ms|s|m|h)/g, (_, n: string, unit: string) => {
      total += Number(n) * (units[unit] ?? 0)
      return ''
    })
    if (rest !== '' || text === '' || !Number.isFinite(total)) {
      ctx.addIssue({ code: 'custom', message: `time: invalid duration ${JSON.stringify(text)}` })
      return z.NEVER
    }
    return total
  })
export const intFlag = () => z.string().regex(/^\d+$/, 'must be a whole number').transform(Number)
/** Several names, separated by commas. */
export const namesFlag = () =>
  z
    .string()
    .default('')
    .transform(text => text.split(',').filter(Boolean))
export const boolFlag = () => z.enum(['true', 'false']).transform(v => v === 'true')

/**
 * Parses `argv` by a zod object whose keys are camelCase flag names (`securePort` is `--secure-port`). A key whose schema is a zod array
 * may be repeated. On a bad flag writes one line to stderr and exits 1.
 */
export function parseFlags<S extends z.ZodObject>(
  component: string,
  schema: S,
  argv: readonly string[] = process.argv.slice(2),
): z.output<S> {
  const flagOf = (key: string) => key.replace(/[A-Z]/g, c => `-${c.toLowerCase()}`)
  const repeated = (s: unknown): boolean =>
    s instanceof z.ZodArray || ((s instanceof z.ZodDefault || s instanceof z.ZodOptional) && repeated(s.unwrap()))
  const options = Object.fromEntries(
    Object.entries(schema.shape).map(([key, s]) => [flagOf(key), { type: 'string' as const, multiple: repeated(s) }]),
  )
  const fail = (message: string): never => {
    process.stderr.write(`${component}: ${message}\n`)
    process.exit(1)
  }
  try {
    const { values } = parseArgs({ args: [...argv], options, strict: true, allowPositionals: false })
    const input = Object.fromEntries(Object.keys(schema.shape).map(key => [key, values[flagOf(key)]]))
    const parsed = schema.safeParse(input)
    if (parsed.success) return parsed.data
    return fail(parsed.error.issues.map(i => `--${flagOf(String(i.path[0]))}: ${i.message}`).join('; '))
  } catch (e) {
    return fail((e as Error).message.split('\n')[0]!.replace(/^Unknown option '(.*?)'.*/, 'unknown flag: $1'))
  }
}
