/**
 * Commands and streams into pods for who asks the kubelet itself: what is a session of the bus for the API server is one in this process.
 */
import type { KubeletContext } from '../context.ts'
import type { Kubelet } from '../kubelet.ts'
import { kubeletStreams, type Streams } from '../server/streams.ts'
import { attach } from './attach.ts'
import { exec } from './exec.ts'
import { portForward } from './portforward.ts'
import { ended } from './result.ts'

export const podStreams = (kubelet: Kubelet, context: Pick<KubeletContext, 'runtime' | 'log'>): Streams =>
  kubeletStreams({
    verbs: {
      exec: ended(session => exec(kubelet, context, session)),
      attach: ended(session => attach(kubelet, context, session)),
      portforward: ended(session => portForward(kubelet, session)),
    },
    knows: (namespace, name, uid) => {
      const pod = kubelet.find(namespace, name)?.pod
      return pod !== undefined && (uid === undefined || pod.metadata.uid === uid)
    },
    log: context.log,
  })
