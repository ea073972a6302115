/**
 * Carries out a MountPlan (usernamespace.ts) in the mount namespace that it is run in, a process of its own. Node has no system calls:
 * libc's syscall(2) is called through node:ffi.
 */
import { execFileSync } from 'node:child_process'
import { mkdirSync, openSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { dlopen, getInt32 } from 'node:ffi'
import type { MountPlan } from './usernamespace.ts'

// From 424 on the numbers are the same on all architectures.
const OPEN_TREE = 428n
const MOVE_MOUNT = 429n
const MOUNT_SETATTR = 442n
const AT_FDCWD = -100n
const AT_EMPTY_PATH = 0x1000n
const AT_RECURSIVE = 0x8000n
const OPEN_TREE_CLONE = 1n
const OPEN_TREE_CLOEXEC = 0o2000000n
const MOUNT_ATTR_IDMAP = 0x00100000n
const MOVE_MOUNT_F_EMPTY_PATH = 4n

const int = 'int64' as const
const three = dlopen(null, { syscall: { arguments: [int, int, 'string', int], return: int } }).functions.syscall
const five = dlopen(null, { syscall: { arguments: [int, int, 'string', int, 'buffer', int], return: int } }).functions.syscall
const move = dlopen(null, { syscall: { arguments: [int, int, 'string', int, 'string', int], return: int } }).functions.syscall
const errno = dlopen(null, { __errno_location: { arguments: [], return: 'pointer' } }).functions.__errno_location

function succeed(result: bigint, what: string, path: string): bigint {
  if (result < 0n) throw new Error(`user namespace: ${what} ${path}: error ${getInt32(errno())}`)
  return result
}

/** Mounts what is at `source`, and what is mounted in it, on `target` with the ids of a user namespace. */
function mountMapped(source: string, target: string, userNamespace: number): void {
  if (statSync(source).isDirectory()) mkdirSync(target)
  else writeFileSync(target, '')
  const tree = succeed(three(OPEN_TREE, AT_FDCWD, source, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE), 'open_tree', source)
  // struct mount_attr: attr_set, attr_clr, propagation, userns_fd
  const attributes = Buffer.alloc(32)
  attributes.writeBigUInt64LE(MOUNT_ATTR_IDMAP, 0)
  attributes.writeBigUInt64LE(BigInt(userNamespace), 24)
  succeed(five(MOUNT_SETATTR, tree, '', AT_EMPTY_PATH | AT_RECURSIVE, attributes, BigInt(attributes.length)), 'mount_setattr', source)
  succeed(move(MOVE_MOUNT, tree, '', AT_FDCWD, target, MOVE_MOUNT_F_EMPTY_PATH), 'move_mount', target)
}

const mount = (cwd: string, ...args: string[]): void =>
  void execFileSync('mount', ['-n', '-t', ...args], { cwd, stdio: ['ignore', 'ignore', 'inherit'] })

try {
  const plan = JSON.parse(readFileSync(process.argv[2]!, 'utf8')) as MountPlan
  mount('/', 'tmpfs', '-o', 'mode=755', 'coxswain-userns', plan.places)
  const userNamespace = openSync(plan.userNamespace, 'r')
  for (const { source, target } of plan.mapped) mountMapped(source, target, userNamespace)
  for (const { target, options } of plan.overlays) {
    mkdirSync(target, { recursive: true })
    mount(plan.places, 'overlay', '-o', options, 'overlay', target)
  }
} catch (error) {
  // One line: it becomes a container's message.
  process.stderr.write(`${(error as Error).message}\n`)
  process.exit(1)
}
