/** What of a pod is on disk for the next kubelet: what it remembers of it, and the pod itself. */
import { existsSync } from 'node:fs'
import type { Pod } from '#shared/api/core/pod.ts'
import type { PodDirectory } from './directory.ts'
import { newState, readState, writePod, writeState, type PodState } from './state.ts'

export class PodRecord {
  state: PodState
  /** An earlier kubelet has left a state. */
  known = false
  /** Why the state of an earlier kubelet cannot be had: until it can, nothing is written. */
  unreadable: Error | undefined
  /** The state on disk is older than ours. */
  unsaved = false
  readonly #directory: PodDirectory
  /** What of the pod is on disk. */
  #written = ''

  /** Reads what an earlier kubelet has left. */
  constructor(directory: PodDirectory, startTime: Date) {
    this.#directory = directory
    this.state = newState(startTime)
    this.read()
  }

  read(): void {
    try {
      const state = readState(this.#directory)
      this.unreadable = undefined
      this.known = state !== undefined
      if (state) this.state = { ...state, ...(this.state.ended ? { ended: this.state.ended } : {}) }
    } catch (e) {
      this.unreadable = e as Error
    }
  }

  /** Throws when it cannot be written. */
  save(): void {
    // A pod that was refused has no directory, and what comes late may be about one that is removed.
    if (this.unreadable || !existsSync(this.#directory.root)) return
    this.unsaved = true
    writeState(this.#directory, this.state)
    this.unsaved = false
  }

  /** Statuses come back from the API all the time; the copy on disk is for what the pod is. Throws when it cannot be written. */
  writePod(pod: Pod): void {
    const { generation, deletionTimestamp, labels, annotations } = pod.metadata
    const version = JSON.stringify([generation, deletionTimestamp, labels, annotations])
    if (version === this.#written) return
    writePod(this.#directory, pod)
    this.#written = version
  }
}
