/** A host image: what runs under an everyday image name, out of what the node has. */

/** A file of an image: its text, a link, or a copy of a file or folder of the node. Modes are numbers; a copy keeps its own. */
export type ImageFile = { content: string; mode?: number } | { symlink: string } | { copy: string; mode?: number }

export interface HostImage {
  /**
   * Repository names without registry: `busybox`, `curlimages/curl`. They match the end of a repository's path, the longest wins; a plain
   * one of the built-in catalogue is that of the official image.
   */
  names: string[]
  entrypoint?: string[]
  cmd?: string[]
  /** `NAME=value` */
  env?: string[]
  /** `name`, `uid`, `name:group` or `uid:gid`; root when left out. */
  user?: string
  workingDir?: string
  /** Programs the node must have, and the Debian package that brings each. */
  requires?: { binary: string; package: string; directories?: string[] }[]
  /** Files of the image's own, laid over the node's root. */
  files?: Record<string, ImageFile>
  /** Directories of the node that its containers see, beside programs and libraries; what they write there is theirs alone. */
  trees?: string[]
  /** Every applet of busybox takes the place of the node's tool. */
  busyboxApplets?: boolean
  /** Our own programs and Node appear at /coxswain. */
  programs?: boolean
  /** The bundles of this installation appear at /coxswain/dist. */
  bundles?: boolean
  /** The node-agent's Node appears at this path. */
  node?: string
}
