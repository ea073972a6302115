/**
 * Files by descriptor: what was opened stays the same file, whatever happens to the names that led to it. Node has no openat(2); the
 * kernel's /proc/self/fd does the same. Linux only.
 */
import { constants } from 'node:fs'
import { open, type FileHandle } from 'node:fs/promises'

/** Names a file and opens nothing: harmless for pipes, devices and symbolic links. The same number on all that Node runs on. */
const O_PATH = 0o10000000

/** A path that means the file of a descriptor, or an entry of that directory, to system calls of this process. */
export const pathOf = (handle: FileHandle, entry?: string): string => `/proc/self/fd/${handle.fd}${entry === undefined ? '' : `/${entry}`}`

/** Opens a directory by its path, whose links are followed. */
export const openDirectory = (path: string): Promise<FileHandle> => open(path, O_PATH | constants.O_DIRECTORY)

/** Opens an entry of a directory for what it is: a symbolic link is not followed. `entry` must be one name. */
export const openEntry = (directory: FileHandle, entry: string): Promise<FileHandle> =>
  open(pathOf(directory, entry), O_PATH | constants.O_NOFOLLOW)
