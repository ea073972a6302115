/**
 * The control plane and the node-agents go before what they run and before other work of the machine: a hundred containers that start or
 * end at once need all processors for seconds, in which leaders and nodes would miss their heartbeats.
 */
import { writeFileSync } from 'node:fs'
import { setPriority } from 'node:os'

/** Nine and three times the weight of an ordinary process. */
const controlPlaneNice = -10
const nodeNice = -5

/** Without the right to do so (not root), or on another system than Linux, all stays as it is. */
function attempt(change: () => void): void {
  try {
    change()
  } catch {
    // As said above, or the process is gone.
  }
}
/** Where the kernel schedules sessions against each other (sched_autogroup), a process's own nice value counts within its session only. */
const raiseSession = (pid: number, nice: number): void => attempt(() => writeFileSync(`/proc/${pid}/autogroup`, String(nice)))

/** A process of the control plane that was just started. */
export function raiseControlPlane(pid: number): void {
  attempt(() => setPriority(pid, controlPlaneNice))
  raiseSession(pid, controlPlaneNice)
}

/** A node's first process. Its session alone: containers inherit nice values, but are in sessions of their own. */
export const raiseNode = (pid: number): void => raiseSession(pid, nodeNice)
