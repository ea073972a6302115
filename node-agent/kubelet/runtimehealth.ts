/** Whether the container runtime answers: a node whose runtime does not is not ready, as upstream's, until it does again. */
import { backoff, sleep } from '#shared/client/backoff.ts'
import type { Logger } from '#shared/component/log.ts'
import type { ContainerRuntime } from '../runtime/runtime.ts'

/** As long as nothing is wrong; no event tells of a program that hangs. */
const periodMs = 30_000

export interface RuntimeHealth {
  /** Why the node is not ready. */
  notReady(): string | undefined
  /** Looks at once: a container was not made. */
  suspect(): void
  onChange(changed: () => void): void
  /** Looks now and then, until `signal` aborts. */
  keep(signal: AbortSignal): Promise<void>
}

export function runtimeHealth({ check }: Pick<ContainerRuntime, 'check'>, log: Logger, period = periodMs): RuntimeHealth {
  let why: string | undefined
  let changed = (): void => {}
  let wake = new AbortController()
  return {
    notReady: () => why,
    suspect: () => wake.abort(),
    onChange: call => void (changed = call),
    async keep(signal) {
      if (!check) return
      const again = backoff(500, period)
      while (!signal.aborted) {
        wake = new AbortController()
        const failure = await check().then(
          () => undefined,
          (e: Error) => `container runtime is down: ${e.message}`,
        )
        if (failure !== undefined && why === undefined) log.error({ err: failure }, 'the container runtime does not answer')
        if (failure === undefined && why !== undefined) log.info('the container runtime answers again')
        const differs = failure !== why
        why = failure
        if (differs) changed()
        if (failure === undefined) again.reset()
        const pause = failure === undefined ? AbortSignal.any([signal, wake.signal]) : signal
        await sleep(failure === undefined ? period : again.next(), pause)
      }
    },
  }
}
