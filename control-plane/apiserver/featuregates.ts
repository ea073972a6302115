/** Features of upstream's that are off in this version and can be asked for, by the names of their gates. */
import * as z from 'zod'

const gates = ['HPAScaleToZero'] as const
export type FeatureGates = { readonly [gate in (typeof gates)[number]]?: boolean }

/** `HPAScaleToZero=true`, several with commas between them; what is wrong is told in upstream's words. */
export const featureGatesFlag = () =>
  z
    .string()
    .default('')
    .transform((text, ctx): FeatureGates => {
      const wrong = (message: string): never => {
        ctx.addIssue({ code: 'custom', message })
        return z.NEVER
      }
      const found: { [gate: string]: boolean } = {}
      for (const part of text.split(',').filter(Boolean)) {
        const [name = '', value] = part.split('=', 2)
        if (value === undefined) return wrong(`missing bool value for ${name}`)
        if (!gates.includes(name as (typeof gates)[number])) return wrong(`unrecognized feature gate: ${name}`)
        if (value !== 'true' && value !== 'false')
          return wrong(`invalid value of ${name}=${value}, err: strconv.ParseBool: parsing ${JSON.stringify(value)}: invalid syntax`)
        found[name] = value === 'true'
      }
      return found
    })
