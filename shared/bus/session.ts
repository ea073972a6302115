/**
 * Streaming sessions: several byte channels in both directions with flow control, for logs, exec, attach and port-forward.
 * Channels are numbered as in Kubernetes' WebSocket protocol: 0 stdin, 1 stdout, 2 stderr, 3 error (a metav1.Status), 4 resize.
 */

export const Channel = { stdin: 0, stdout: 1, stderr: 2, error: 3, resize: 4 } as const

export interface Session {
  /** What the opener asked for. */
  readonly open: unknown
  /**
   * Takes the data as it lies: nobody may change it afterwards. Resolves when the other side has room; rejects when the session is closed.
   */
  send(channel: number, data: Uint8Array): Promise<void>
  /** No more data on this channel from this side. */
  end(channel: number): void
  /** Data from the other side, in order, until it ends that channel or the session closes. Each channel is read once. */
  read(channel: number): AsyncIterable<Uint8Array>
  /** Ends the session. Idempotent. */
  close(reason?: string): void
  /** Aborts when the session has ended, by either side or because the other went silent. */
  readonly signal: AbortSignal
}
