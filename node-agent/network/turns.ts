/** What is asked for one key runs one after the other. */
export function turns(): <T>(key: string, work: () => Promise<T>) => Promise<T> {
  const last = new Map<string, Promise<unknown>>()
  return (key, work) => {
    const mine = (last.get(key) ?? Promise.resolve()).then(work, work)
    last.set(key, mine)
    const forget = (): void => void (last.get(key) === mine && last.delete(key))
    mine.then(forget, forget)
    return mine
  }
}
