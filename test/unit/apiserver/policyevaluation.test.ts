import { expect, it } from 'vitest'
import { PolicyCompiler } from '#control-plane/apiserver/admission/policy/environment.ts'
import { conditionsHold, Evaluation, OutOfBudget, Waits } from '#control-plane/apiserver/admission/policy/evaluation.ts'
import { cel } from '#control-plane/apiserver/cel/load.ts'

const own = { authorizer: true, variables: true }
const compiled = (...texts: string[]) => {
  const compiler = new PolicyCompiler(false)
  return texts.map(text => compiler.compile(text, own, [cel().types.bool]))
}

it('is evaluated again when an authorizer that took its time has answered, also from within a variable', async () => {
  const compiler = new PolicyCompiler(false)
  const text = "authorizer.group('').resource('pods').check('get').allowed()"
  const variables = new Map([['may', compiler.variable('may', text)]])
  const expression = compiler.compile('variables.may || false', own, [cel().types.bool])
  let asked = 0
  const ask = async () => {
    asked++
    return { decision: 'allow' as const, reason: '' }
  }
  const bindings = { object: null, authorizer: cel().authorizerValue(ask, { name: 'jane', groups: [] }) }
  const run = () => new Evaluation(bindings, variables, 10_000_000).run(expression)
  const waits = (() => {
    try {
      run()
      return undefined
    } catch (e) {
      return e as Waits
    }
  })()
  expect(waits).toBeInstanceOf(Waits)
  await waits!.until
  expect(run()).toEqual({ value: true })
  expect(asked).toBe(1)
})

it('evaluates a variable once, and counts it', () => {
  const compiler = new PolicyCompiler(false)
  const variables = new Map([['list', compiler.variable('list', '[1, 2, 3].map(x, x * 2)')]])
  const text = 'size(variables.list) == 3 && variables.list[0] == 2'
  const evaluation = new Evaluation({}, variables, 1000)
  const first = compiler.compile(text, own)
  expect(evaluation.run(first).value).toBe(true)
  const afterFirst = evaluation.left
  expect(evaluation.run(first).value).toBe(true)
  expect(1000 - afterFirst).toBeGreaterThan(afterFirst - evaluation.left)
})

it('ends when the budget is spent', () => {
  const [expression] = compiled('[1, 2, 3].all(x, x > 0)')
  expect(() => new Evaluation({}, undefined, 5).run(expression!)).toThrow(OutOfBudget)
})

it('lets no condition that is false wait for one that cannot be judged', () => {
  const evaluation = new Evaluation({ object: cel().fromJson({}) }, undefined, 10_000)
  const conditions = (...texts: string[]) => compiled(...texts).map(expression => ({ name: 'x', expression }))
  expect(conditionsHold(conditions('object.x == 1', 'false'), evaluation)).toBe(false)
  expect(conditionsHold(conditions('true', 'true'), evaluation)).toBe(true)
  expect(conditionsHold(conditions('object.x == 1', 'true'), evaluation)).toEqual({
    error: "expression 'object.x == 1' resulted in error: no such key: x",
  })
})
