/**
 * The capability `bandwidth`: how fast a pod may hear and send, by annotations, as container runtimes read them
 * (k8s.io/kubernetes/pkg/util/bandwidth).
 */
import { quantityValue } from '#shared/machinery/quantity.ts'

const annotation = (direction: 'ingress' | 'egress'): string => `kubernetes.io/${direction}-bandwidth`
/** Bits a second. */
const [least, most] = [1e3, 1e15]
/** As containerd says: none but what the kernel can count. */
const burst = 2 ** 32 - 1

/** Absent where the pod asks for nothing. Throws in upstream's words. */
export function bandwidthOf(annotations: Readonly<Record<string, string>> | undefined): { bandwidth?: Record<string, number> } {
  const bandwidth = (['ingress', 'egress'] as const).flatMap((direction): [string, number][] => {
    const text = annotations?.[annotation(direction)]
    if (text === undefined) return []
    return [
      [`${direction}Rate`, rateOf(text)],
      [`${direction}Burst`, burst],
    ]
  })
  return bandwidth.length === 0 ? {} : { bandwidth: Object.fromEntries(bandwidth) }
}

function rateOf(text: string): number {
  const rate = quantityValue(text)
  if (rate < least) throw new Error('resource is unreasonably small (< 1kbit)')
  if (rate > most) throw new Error('resource is unreasonably large (> 1Pbit)')
  return rate
}
