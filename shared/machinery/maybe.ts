/** Values that are mostly there at once: what works on them waits only when it must. */
export type Maybe<T> = T | Promise<T>

/** `next` of a value that may have to be waited for. */
export const after = <A, B>(value: Maybe<A>, next: (value: A) => Maybe<B>): Maybe<B> =>
  value instanceof Promise ? value.then(next) : next(value)

/** `step` of each item, one after the other. */
export function inTurn<T>(items: Iterable<T>, step: (item: T) => Maybe<void>): Maybe<void> {
  let work: Maybe<void> = undefined
  for (const item of items) work = after(work, () => step(item))
  return work
}
