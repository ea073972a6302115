/** /runningpods/: the pods of which something runs, as the runtime knows them: names, uids and containers, nothing of their specs. */
import type { Kubelet } from '../kubelet.ts'

export function runningPods(kubelet: Kubelet): object[] {
  return kubelet.workers().flatMap(({ pod, state }) => {
    const running = Object.entries(state.containers).filter(([, { current }]) => current.state === 'running')
    if (running.length === 0) return []
    const { name, namespace, uid } = pod.metadata
    const containers = running.map(([container, { current }]) => ({ name: container, image: current.image, resources: {} }))
    return [{ metadata: { name, namespace, uid }, spec: { containers }, status: {} }]
  })
}
