/** seccomp: which system calls a container may make, as `linux.seccomp` of its OCI configuration. */
import { readFile } from 'node:fs/promises'
import { join, normalize } from 'node:path'
import * as z from 'zod'
import type { ContainerSpec } from '../runtime.ts'
import { defaultRules } from './seccompdefault.ts'

export interface Seccomp {
  defaultAction: string
  defaultErrnoRet?: number | undefined
  architectures?: string[] | undefined
  syscalls?: { names: string[]; action: string; errnoRet?: number | undefined; args?: object[] | undefined }[] | undefined
}

/** Programs of these architectures run on a machine of that one. */
const ARCHITECTURES: { [arch: string]: string[] } = {
  x64: ['SCMP_ARCH_X86_64', 'SCMP_ARCH_X86', 'SCMP_ARCH_X32'],
  arm64: ['SCMP_ARCH_AARCH64', 'SCMP_ARCH_ARM'],
  arm: ['SCMP_ARCH_ARM'],
  riscv64: ['SCMP_ARCH_RISCV64'],
  ppc64: ['SCMP_ARCH_PPC64LE'],
  s390x: ['SCMP_ARCH_S390X', 'SCMP_ARCH_S390'],
}
const EPERM = 1

/** The profile RuntimeDefault of a container that has these capabilities; `arch` as Node names it. */
export function defaultProfile(capabilities: readonly string[], arch: string = process.arch): Seccomp {
  const has = (name: string): boolean => capabilities.includes(name)
  const rules = defaultRules.filter(
    ({ having, lacking, architectures }) =>
      (having === undefined || having.some(has)) &&
      (lacking === undefined || !has(lacking)) &&
      (architectures === undefined || architectures.includes(arch)),
  )
  return {
    defaultAction: 'SCMP_ACT_ERRNO',
    defaultErrnoRet: EPERM,
    architectures: ARCHITECTURES[arch] ?? [],
    syscalls: rules.map(({ calls, args, errno }) => ({
      names: calls.trim().split(/\s+/),
      action: errno === undefined ? 'SCMP_ACT_ALLOW' : 'SCMP_ACT_ERRNO',
      ...(errno === undefined ? {} : { errnoRet: errno }),
      ...(args ? { args: [...args] } : {}),
    })),
  }
}

const errno = z.int().min(0).optional()
/** As the OCI runtime specification has it. What a profile holds beside that is passed over, as containerd does. */
const profileFile = z.object({
  defaultAction: z.string(),
  defaultErrnoRet: errno,
  architectures: z.array(z.string()).optional(),
  flags: z.array(z.string()).optional(),
  syscalls: z
    .array(
      z.object({
        names: z.array(z.string()),
        action: z.string(),
        errnoRet: errno,
        args: z
          .array(
            z.object({
              index: z.int().min(0),
              value: z.number().min(0),
              valueTwo: z.number().min(0).optional(),
              op: z.string(),
            }),
          )
          .nullish()
          .transform(args => args ?? undefined),
      }),
    )
    .optional(),
})

/** A profile out of the node's directory of profiles. Throws, with the profile's name, when it is not there or is none. */
async function localProfile(directory: string, name: string): Promise<Seccomp> {
  const fail = (why: string): Error => new Error(`cannot load seccomp profile ${JSON.stringify(name)}: ${why}`)
  if (name === '' || name.startsWith('/') || normalize(name).split('/')[0] === '..')
    throw fail('it must be a path below the node’s seccomp directory')
  const text = await readFile(join(directory, name), 'utf8').catch((e: NodeJS.ErrnoException) =>
    Promise.reject(fail(e.code === 'ENOENT' ? 'no such file or directory' : (e.code ?? 'it cannot be read'))),
  )
  const parsed = profileFile.safeParse(parseJson(text))
  if (!parsed.success) throw fail(parsed.error.issues.map(i => `${i.path.join('.') || 'the file'}: ${i.message}`).join('; '))
  return parsed.data
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

/** The profile that a container asks for; undefined for none. `directory` holds those of type Localhost. */
export async function seccompProfile(
  { seccomp, privileged }: Pick<ContainerSpec, 'seccomp' | 'privileged'>,
  capabilities: readonly string[],
  directory: string,
): Promise<Seccomp | undefined> {
  if (seccomp === undefined || privileged) return undefined
  return seccomp.type === 'RuntimeDefault' ? defaultProfile(capabilities) : await localProfile(directory, seccomp.profile)
}
