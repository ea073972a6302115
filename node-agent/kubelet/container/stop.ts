/** Stops one container gracefully: preStop hook, stop signal, grace, SIGKILL. */
import type { PodContext, Stopping } from '../context.ts'
import type { TypedContainer } from '../pod/containers.ts'
import { containerDirectory } from '../pod/directory.ts'
import { runHook } from './hooks.ts'

/** Upstream never gives less than this between the signal and SIGKILL, however long preStop took. */
const minimumGraceMs = 2000

export interface StopOptions {
  graceSeconds: number
  message: string
  /** Resolves when it is this container's turn to get the signal: sidecars wait for those that need them. */
  turn?: Promise<void>
}

/** A timer whose end can be brought forward. */
function deadline(ms: number): Stopping & { readonly signal: AbortSignal; leftMs(): number; clear(): void } {
  const abort = new AbortController()
  let end = Date.now() + ms
  let timer = setTimeout(() => abort.abort(), ms)
  return {
    signal: abort.signal,
    leftMs: () => end - Date.now(),
    shorten(graceSeconds) {
      const sooner = Date.now() + graceSeconds * 1000
      if (sooner >= end) return
      end = sooner
      clearTimeout(timer)
      timer = setTimeout(() => abort.abort(), Math.max(0, end - Date.now()))
    },
    clear: () => clearTimeout(timer),
  }
}

/** Begins to stop a running container; its exit comes through watchExit. Does nothing but shorten when it is being stopped already. */
export function stopContainer(ctx: PodContext, typed: TypedContainer, options: StopOptions): void {
  const { container } = typed
  const { name } = container
  const live = ctx.live(name)
  if (live.stopping) return live.stopping.shorten(options.graceSeconds)
  const record = ctx.state.containers[name]
  if (record?.current.state !== 'running') return
  const directory = containerDirectory(ctx.directory, name, record.current.attempt)
  const grace = deadline(options.graceSeconds * 1000)
  live.stopping = grace
  live.probes?.stopLivenessAndStartup()
  ctx.event('Normal', 'Killing', options.message, typed)
  ctx.log.info({ container: name, graceSeconds: options.graceSeconds }, 'stopping container')

  const stop = async (): Promise<void> => {
    const gone = live.exited ?? Promise.resolve()
    const over = new Promise<void>(resolve =>
      grace.signal.aborted ? resolve() : grace.signal.addEventListener('abort', () => resolve(), { once: true }),
    )
    const handler = container.lifecycle?.preStop
    if (handler && options.graceSeconds > 0) {
      const end = new AbortController()
      void gone.then(() => end.abort())
      const hook = runHook(ctx, container, directory, handler, AbortSignal.any([grace.signal, end.signal])).catch((e: Error) => {
        ctx.event('Warning', 'FailedPreStopHook', 'PreStopHook failed', typed)
        ctx.log.warn({ container: name, err: e.message }, 'preStop hook failed')
      })
      await Promise.race([hook, over, gone])
    }
    if (options.turn) await Promise.race([options.turn, over, gone])
    await ctx.kubelet.runtime.kill(directory, record.current.stopSignal ?? 'SIGTERM')
    let timer: NodeJS.Timeout | undefined
    // preStop took the grace, or there is none: the signal still gets a moment.
    const least = new Promise<void>(resolve => (timer = setTimeout(resolve, minimumGraceMs)))
    await Promise.race([gone, Promise.all([over, least])])
    clearTimeout(timer)
    if (ctx.state.containers[name]?.current.state === 'running') await ctx.kubelet.runtime.kill(directory, 'SIGKILL')
    await gone
  }
  stop()
    .catch((e: Error) => {
      ctx.log.error({ container: name, err: e.message }, 'stopping a container failed')
      // Tried again when the pod is next looked at.
      live.stopping = undefined
      ctx.kickIn(1000)
    })
    .finally(() => grace.clear())
}
