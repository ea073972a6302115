/**
 * The Container Device Interface: files that say what a container gets with a device of a name like `vendor.com/class=name`.
 * https://github.com/cncf-tags/container-device-interface/blob/main/SPEC.md
 */
import * as z from 'zod'

const text = z.string().min(1)
const edits = z.object({
  env: z.array(z.string().regex(/^[^=]+=/, 'must be NAME=value')).default([]),
  deviceNodes: z
    .array(
      z.object({
        path: text,
        hostPath: text.optional(),
        type: z.enum(['b', 'c', 'u', 'p', '']).optional(),
        major: z.int().optional(),
        minor: z.int().optional(),
        fileMode: z.int().optional(),
        permissions: z
          .string()
          .regex(/^[rwm]*$/)
          .optional(),
        uid: z.int().nonnegative().optional(),
        gid: z.int().nonnegative().optional(),
      }),
    )
    .default([]),
  mounts: z
    .array(z.object({ hostPath: text, containerPath: text, options: z.array(z.string()).default([]), type: z.string().optional() }))
    .default([]),
  hooks: z
    .array(
      z.object({
        hookName: z.enum(['prestart', 'createRuntime', 'createContainer', 'startContainer', 'poststart', 'poststop']),
        path: text,
        args: z.array(z.string()).optional(),
        env: z.array(z.string()).optional(),
        timeout: z.int().optional(),
      }),
    )
    .default([]),
  additionalGids: z.array(z.int().nonnegative()).default([]),
})
const none = { env: [], deviceNodes: [], mounts: [], hooks: [], additionalGids: [] }
const spec = z.object({
  cdiVersion: z.string().regex(/^(0\.[3-9]\.0|1\.\d+\.\d+)$/, 'is not a version that is known'),
  kind: z.string().regex(/^[a-zA-Z][a-zA-Z0-9_.-]*\/[a-zA-Z][a-zA-Z0-9_.-]*$/, 'must be vendor/class'),
  devices: z.array(z.object({ name: z.string().regex(/^[a-zA-Z0-9][a-zA-Z0-9_.:-]*$/), containerEdits: edits.default(none) })),
  containerEdits: edits.default(none),
})
export type CdiSpec = z.infer<typeof spec>
export type ContainerEdits = z.infer<typeof edits>

/** Reads what was parsed of a file. Throws an Error that says what is wrong. */
export function cdiSpec(value: unknown): CdiSpec {
  const read = spec.safeParse(value)
  if (!read.success) throw new Error(read.error.issues.map(i => `${i.path.join('.')}: ${i.message}`).join('; '))
  return read.data
}

/** What several things ask for, in their order. */
export const joinEdits = (all: readonly ContainerEdits[]): ContainerEdits => ({
  env: all.flatMap(e => e.env),
  deviceNodes: all.flatMap(e => e.deviceNodes),
  mounts: all.flatMap(e => e.mounts),
  hooks: all.flatMap(e => e.hooks),
  additionalGids: [...new Set(all.flatMap(e => e.additionalGids))],
})
