/** Features of upstream's that are off in this version and can be asked for, by the names of their gates. */
import * as z from 'zod'

const gates = ['HPAScaleToZero'] as const
type Gate = (typeof gates)[number]
export type FeatureGates = { readonly [gate in Gate]?: boolean }

const isGate = (name: string): name is Gate => (gates as readonly string[]).includes(name)

/** `HPAScaleToZero=true`, several with commas between them. Throws in upstream's words. */
export function parseFeatureGates(text: string): FeatureGates {
  const found: { [gate in Gate]?: boolean } = {}
  for (const part of text.split(',').filter(Boolean)) {
    const [name = '', value] = part.split('=', 2)
    if (value === undefined) throw new Error(`missing bool value for ${name}`)
    if (!isGate(name)) throw new Error(`unrecognized feature gate: ${name}`)
    if (value !== 'true' && value !== 'false')
      throw new Error(`invalid value of ${name}=${value}, err: strconv.ParseBool: parsing ${JSON.stringify(value)}: invalid syntax`)
    found[name] = value === 'true'
  }
  return found
}

export const featureGatesFlag = () =>
  z
    .string()
    .default('')
    .transform((text, ctx): FeatureGates => {
      try {
        return parseFeatureGates(text)
      } catch (e) {
        ctx.addIssue({ code: 'custom', message: (e as Error).message })
        return z.NEVER
      }
    })
