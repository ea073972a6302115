/** Resolves when `done` does with true; rejects with what it waited for after `timeoutMs`. Looks often: only for what no event tells. */
export async function until(done: () => Promise<boolean> | boolean, what: string, timeoutMs = 120_000): Promise<void> {
  const end = performance.now() + timeoutMs
  while (!(await done())) {
    if (performance.now() > end) throw new Error(`${what}: not within ${timeoutMs / 1000} s`)
    await new Promise(resolve => setTimeout(resolve, 20))
  }
}
