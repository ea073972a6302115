/** metrics.k8s.io/v1beta1: what nodes and pods use now (k8s.io/metrics/pkg/apis/metrics/v1beta1). */

export const group = 'metrics.k8s.io'
export const version = 'v1beta1'
export const apiVersion = `${group}/${version}`

/** Quantities: CPU in nanocores, memory in Ki. */
export interface Usage {
  readonly cpu: string
  readonly memory: string
}
interface Measured {
  readonly metadata: {
    readonly name: string
    readonly namespace?: string
    readonly creationTimestamp: string
    readonly labels?: Readonly<Record<string, string>> | undefined
  }
  readonly timestamp: string
  /** Over which the use of CPU was measured. */
  readonly window: string
}
export interface NodeMetrics extends Measured {
  readonly kind: 'NodeMetrics'
  readonly apiVersion: string
  readonly usage: Usage
}
export interface PodMetrics extends Measured {
  readonly kind: 'PodMetrics'
  readonly apiVersion: string
  readonly containers: readonly { readonly name: string; readonly usage: Usage }[]
}

export const usageOf = (nanoCores: number, bytes: number): Usage => ({
  cpu: `${Math.round(nanoCores)}n`,
  memory: `${Math.round(bytes / 1024)}Ki`,
})
