/** JSON Patch, RFC 6902, as the API server applies it. https://datatracker.ietf.org/doc/html/rfc6902 */
import { clone, maxDepth, measure, setOwn } from '../jsonvalue.ts'
import { badRequest, StatusError, tooLarge } from '../status.ts'
import { equal } from '../managedfields/compare.ts'
import { parsePatch } from './document.ts'

/** Upstream's limit. */
const maxOperations = 10_000
/** What all `copy` operations of a patch may add together, in characters of JSON: upstream's request limit. */
const maxCopied = 3 * 1024 * 1024

/**
 * List items that all operations together may move, and values that may be looked at: a list that changes at its front moves as a whole.
 */
const maxWork = 50_000_000

interface Operation {
  op: string
  path: string
  from: string
  value: unknown
}

/** An operation that cannot be applied. Upstream keeps the reason from the client; it is there for the log. */
class CannotApply extends StatusError {
  readonly why: string
  constructor(why: string) {
    super(422, 'Invalid', 'the server rejected our request due to an error in our request', {})
    this.why = why
  }
}

/** A `test` operation that does not hold. */
export class TestFailed extends CannotApply {}

/**
 * Applies a patch to a document; the document is not changed. Throws a StatusError: 400 when the patch is none, 413 when it has too many
 * operations, 422 when one cannot be applied or a test fails.
 */
export function jsonPatch(document: unknown, patch: Uint8Array | string): unknown {
  const operations = parsePatch(patch)
  if (!Array.isArray(operations))
    throw badRequest(`json: cannot unmarshal ${operations === null ? 'null' : typeof operations} into Go value of type jsonpatch.Patch`)
  if (operations.length > maxOperations)
    throw tooLarge(`The allowed maximum operations in a JSON patch is ${maxOperations}, got ${operations.length}`)
  const root: Patched = { document: clone(document), depth: measure(document).depth, work: 0 }
  let copied = 0
  for (const given of operations) {
    const operation = readOperation(given)
    if (operation.op === 'copy') {
      copied += JSON.stringify(read(root, operation.from) ?? null).length
      if (copied > maxCopied)
        throw new CannotApply(
          `Unable to complete the copy, the accumulated size increase of copy is ${copied}, exceeding the limit ${maxCopied}`,
        )
    }
    apply(root, operation)
    checkDepth(root, operation)
  }
  return root.document
}

/** The document under a root of its own, so that the whole may be replaced like any other value, and what its operations amount to. */
interface Patched {
  document: unknown
  /** Not less than the levels that the document has. */
  depth: number
  work: number
}

function charge(root: Patched, work: number): void {
  root.work += work
  if (root.work > maxWork) throw new CannotApply('the operations take too much work')
}

/** Keeps operations that each nest a little from nesting without end; what would be counted in vain is counted exactly. */
function checkDepth(root: Patched, { op, path, from, value }: Operation): void {
  if (op === 'remove' || op === 'test') return
  const levels = (pointer: string): number => pointer.split('/').length
  const inside = op === 'move' || op === 'copy' ? Math.max(0, root.depth - levels(from)) : measure(value).depth
  root.depth = Math.max(root.depth, levels(path) + inside)
  if (root.depth <= maxDepth) return
  const { depth, size } = measure(root.document)
  charge(root, size)
  if (depth > maxDepth) throw new CannotApply('the document exceeds the maximum depth')
  root.depth = depth
}

function readOperation(given: unknown): Operation {
  if (typeof given !== 'object' || given === null || Array.isArray(given))
    throw badRequest('json: cannot unmarshal value into Go value of type jsonpatch.Operation')
  const { op, path, from } = given as Record<string, unknown>
  if (typeof op !== 'string') throw new CannotApply('missing or wrong op')
  if (typeof path !== 'string') throw new CannotApply(`${op} operation has no path`)
  if ((op === 'move' || op === 'copy') && typeof from !== 'string') throw new CannotApply(`${op} operation has no from`)
  return {
    op,
    path,
    from: typeof from === 'string' ? from : '',
    value: (given as Record<string, unknown>)['value'],
  }
}

function apply(root: Patched, operation: Operation): void {
  const { op, path, value } = operation
  switch (op) {
    case 'add':
    case 'replace':
      // Without a value it is null, as upstream's library has it.
      if (op === 'add') return add(root, path, clone(value ?? null))
      return replace(root, path, clone(value ?? null))
    case 'remove':
      remove(root, path)
      return
    case 'move': {
      if (path.startsWith(`${operation.from}/`)) throw new CannotApply('a value cannot move into itself')
      return add(root, path, remove(root, operation.from))
    }
    case 'copy':
      return add(root, path, clone(read(root, operation.from)))
    case 'test': {
      // Absent equals null.
      const is = find(root, path)
      if (!equal(is ?? null, value ?? null)) throw new TestFailed(`testing value ${path} failed`)
      return
    }
    default:
      throw new CannotApply(`Unexpected kind: ${op}`)
  }
}

/** The container that holds the value at a path, and its key or index there. */
function locate(root: Patched, pointer: string): { container: unknown; key: string } {
  if (pointer !== '' && !pointer.startsWith('/')) throw new CannotApply(`path ${pointer} does not begin with a slash`)
  const keys = ['document', ...pointer.split('/').slice(1)].map(key => key.replaceAll('~1', '/').replaceAll('~0', '~'))
  let container: unknown = root
  for (const key of keys.slice(0, -1)) {
    container = child(container, key)
    if (typeof container !== 'object' || container === null) throw new CannotApply(`doc is missing path: ${pointer}`)
  }
  return { container, key: keys.at(-1)! }
}

function child(container: unknown, key: string): unknown {
  if (Array.isArray(container)) return container[indexOf(container, key, container.length - 1)]
  return Object.hasOwn(container as object, key) ? (container as Record<string, unknown>)[key] : undefined
}

/** An index into a list, counted from the end when negative. */
function indexOf(list: readonly unknown[], key: string, last: number): number {
  if (!/^(0|-?[1-9]\d*)$/.test(key)) throw new CannotApply(`${key} is no index`)
  const index = Number(key)
  const at = index < 0 ? index + last + 1 : index
  if (at < 0 || at > last) throw new CannotApply(`Unable to access invalid index: ${key}`)
  return at
}

function find(root: Patched, pointer: string): unknown {
  const { container, key } = locate(root, pointer)
  return child(container, key)
}

function read(root: Patched, pointer: string): unknown {
  const value = find(root, pointer)
  if (value === undefined) throw new CannotApply(`doc is missing key: ${pointer}`)
  return value
}

function add(root: Patched, pointer: string, value: unknown): void {
  const { container, key } = locate(root, pointer)
  if (!Array.isArray(container)) return setOwn(container as object, key, value)
  if (key === '-') container.push(value)
  else {
    charge(root, container.length)
    container.splice(indexOf(container, key, container.length), 0, value)
  }
}

function replace(root: Patched, pointer: string, value: unknown): void {
  const { container, key } = locate(root, pointer)
  if (child(container, key) === undefined) throw new CannotApply(`replace operation does not apply: doc is missing key: ${pointer}`)
  if (Array.isArray(container)) container[indexOf(container, key, container.length - 1)] = value
  else setOwn(container as object, key, value)
}

function remove(root: Patched, pointer: string): unknown {
  const { container, key } = locate(root, pointer)
  const value = child(container, key)
  if (value === undefined) throw new CannotApply(`remove operation does not apply: doc is missing path: ${pointer}`)
  if (Array.isArray(container)) {
    charge(root, container.length)
    container.splice(indexOf(container, key, container.length - 1), 1)
  } else delete (container as Record<string, unknown>)[key]
  return value
}
