/**
 * Opportunistic batching of equal pods (KEP-5598): where the pod before this one was equal to it and has filled its node, the next best
 * node of that search is this one's, if it fits there. What is not certain is worked out as ever. pkg/scheduler/framework/runtime/batch.go
 */
import type { Plugin } from './framework.ts'
import type { PodInfo } from './podinfo.ts'

/** For how long the nodes of one search may be used, ms: upstream's. */
const maxAgeMs = 500

type Signer = Plugin & Required<Pick<Plugin, 'sign'>>

/** Those that decide about nodes; undefined when one of them cannot say when two pods are the same to it. */
export function signersOf(plugins: readonly Plugin[]): readonly Signer[] | undefined {
  const all = [...new Set(plugins)]
  return all.every((p): p is Signer => p.sign !== undefined) ? all : undefined
}

/** Pods of the same signature fit on the same nodes, and like them alike; undefined for a pod that is like no other. */
export function signatureOf(pod: PodInfo, signers: readonly Signer[] | undefined): string | undefined {
  if (!signers) return undefined
  const fragments: unknown[] = [pod.priority]
  for (const plugin of signers) {
    const fragment = plugin.sign(pod)
    if (fragment === undefined) return undefined
    fragments.push(fragment)
  }
  return JSON.stringify(fragments)
}

/** The `sign` of plugins that look at volumes: pods that have some are like no others. Of pods only volumes that matter are kept. */
export const unlessVolumes = ({ pod }: PodInfo): unknown => (pod.spec.volumes?.length ? undefined : '')

export interface Batch {
  /** The next best node for a pod of the `cycle`th decision; `fits` tells whether it would fit on a node. */
  hint(signature: string | undefined, cycle: number, fits: (node: string) => boolean): string | undefined
  /**
   * A pod got a node in a cycle. `others` gives the further nodes that fit, the best last, if they are wanted; absent when it has it by a
   * hint.
   */
  decided(signature: string | undefined, cycle: number, node: string, others?: () => string[]): void
  /** By what came of it: upstream's words of `scheduler_batch_attempts_total`. */
  readonly attempts: Readonly<Record<'hint_used' | 'hint_not_used' | 'no_hint', number>>
}

export function newBatch(now: () => number = () => performance.now()): Batch {
  let known: { signature: string; others: () => string[]; nodes?: string[]; at: number } | undefined
  let last = { cycle: -1, node: '' }
  const attempts = { hint_used: 0, hint_not_used: 0, no_hint: 0 }
  let hinted = false
  return {
    hint(signature, cycle, fits) {
      const usable = known !== undefined && signature === known.signature && cycle === last.cycle + 1 && now() - known.at <= maxAgeMs
      // If one more fits there, nobody knows whether that node is still the best.
      const hint = usable && !fits(last.node) ? (known!.nodes ??= known!.others()).pop() : undefined
      hinted = hint !== undefined
      if (!hinted) attempts.no_hint++
      return hint
    },
    decided(signature, cycle, node, others) {
      last = { cycle, node }
      if (others === undefined) attempts.hint_used++
      else if (hinted) attempts.hint_not_used++
      hinted = false
      if (others !== undefined) known = signature === undefined ? undefined : { signature, others, at: now() }
    },
    attempts,
  }
}
