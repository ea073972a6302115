/** Compiled patterns of expressions: they are kept, as many as this, the latest used ones. */
import { newMatcher, type Matcher } from '#shared/machinery/re2.ts'
import { ErrorValue } from '../values.ts'

const kept = 500
const compiled = new Map<string, Matcher | ErrorValue>()

/** An error in Go's words when the pattern is none. */
export function matcherOf(pattern: string): Matcher | ErrorValue {
  let matcher = compiled.get(pattern)
  if (matcher) compiled.delete(pattern)
  else if (compiled.size >= kept) compiled.delete(compiled.keys().next().value!)
  matcher ??= compile(pattern)
  compiled.set(pattern, matcher)
  return matcher
}

function compile(pattern: string): Matcher | ErrorValue {
  try {
    return newMatcher(pattern)
  } catch (e) {
    return new ErrorValue((e as Error).message)
  }
}
