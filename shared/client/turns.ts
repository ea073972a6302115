/** Long work in turns of the event loop, so that leases, heartbeats and connections have theirs in between. */
const turnMs = 20

/** To be asked after each piece of work: what to wait for when the turn is over. */
export function turns(ms = turnMs): () => Promise<void> | undefined {
  let until = performance.now() + ms
  const next = (resolve: () => void): void => {
    until = performance.now() + ms
    resolve()
  }
  return () => (performance.now() < until ? undefined : new Promise(resolve => setImmediate(next, resolve)))
}
