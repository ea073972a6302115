/**
 * What the node itself knows of registries: Docker's configuration, with credential helpers, from the places where upstream's kubelet
 * looks. https://kubernetes.io/docs/concepts/containers/images/#configuring-nodes-to-authenticate-to-a-private-registry
 */
import { readFile } from 'node:fs/promises'
import { homedir } from 'node:os'
import { join } from 'node:path'
import * as z from 'zod'
import { spawnOnMachine } from '../../machinenamespaces.ts'
import { credentialsOf } from '../../registry/dockerauth.ts'
import type { RegistryCredentials } from '../../runtime/imageservice.ts'
import type { ImageReference } from '../../runtime/images/reference.ts'
import { isAbout, registryOf } from './registrykeys.ts'

const text = z.string().optional()
const auth = z.object({ username: text, password: text, auth: text, identitytoken: text, registrytoken: text })
const dockerConfig = z.object({
  auths: z.record(z.string(), auth).optional(),
  credHelpers: z.record(z.string(), z.string()).optional(),
  credsStore: text,
})
type DockerConfig = z.output<typeof dockerConfig>

/** A helper that asks somebody else may take its time, ms. */
const helperMs = 30_000
const maxAnswerBytes = 1 << 20

async function readConfig(file: string): Promise<DockerConfig | undefined> {
  const bytes = await readFile(file).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT' || error.code === 'ENOTDIR') return undefined
    throw error
  })
  return bytes && dockerConfig.parse(JSON.parse(bytes.toString('utf8')))
}

/** The first configuration that there is. */
export const dockerConfigPaths = (rootDir: string): string[] =>
  [rootDir, process.env['DOCKER_CONFIG'], join(homedir(), '.docker'), '/.docker']
    .filter(directory => directory !== undefined && directory !== '')
    .map(directory => join(directory!, 'config.json'))

/** Rejects when a configuration, or a helper that it names, cannot be understood. */
export async function dockerConfigCredentials(image: ImageReference, files: readonly string[]): Promise<RegistryCredentials[]> {
  for (const file of files) {
    let config: DockerConfig | undefined
    try {
      config = await readConfig(file)
    } catch (error) {
      throw new Error(`${file}: ${(error as Error).message.split('\n')[0]}`)
    }
    if (config) return await credentialsFrom(config, image)
  }
  return []
}

async function credentialsFrom(config: DockerConfig, image: ImageReference): Promise<RegistryCredentials[]> {
  const found: RegistryCredentials[] = []
  const host = image.registry === 'docker.io' ? 'https://index.docker.io/v1/' : image.registry
  const helper = Object.entries(config.credHelpers ?? {}).find(([key]) => isAbout(key, image))
  const [asked, name] = helper ?? [host, config.credsStore]
  if (name) {
    const told = await askHelper(name, helper ? asked : host)
    if (told) found.push(told)
  }
  // Beside a store of credentials `auths` has empty entries.
  const auths = Object.entries(config.auths ?? {}).filter(([key]) => isAbout(key, image))
  auths.sort(([a], [b]) => registryOf(b).length - registryOf(a).length)
  found.push(...auths.map(([, a]) => credentialsOf(a)).filter(c => Object.keys(c).length > 0))
  return found
}

const helperAnswer = z.object({ Username: z.string(), Secret: z.string() })

/** `docker-credential-NAME get`, which reads the server's name. Undefined when it knows none. */
async function askHelper(name: string, server: string): Promise<RegistryCredentials | undefined> {
  if (!/^[\w.-]+$/.test(name)) throw new Error(`invalid credential helper ${JSON.stringify(name)}`)
  const program = `docker-credential-${name}`
  const child = spawnOnMachine(program, ['get'], { stdio: ['pipe', 'pipe', 'ignore'], timeoutMs: helperMs })
  let output = ''
  child.stdout!.setEncoding('utf8').on('data', (part: string) => {
    if ((output += part).length > maxAnswerBytes) child.kill('SIGKILL')
  })
  child.stdin!.on('error', () => {})
  child.stdin!.end(server)
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once('error', error => reject(new Error(`${program}: ${error.message}`)))
    child.once('close', resolve)
  })
  if (code !== 0) {
    if (/credentials not found/.test(output)) return undefined
    throw new Error(`${program}: ${output.trim().split('\n')[0] || (code === null ? 'it took too long' : `exit code ${code}`)}`)
  }
  let value: unknown
  try {
    value = JSON.parse(output)
  } catch {
    value = undefined
  }
  const answer = helperAnswer.safeParse(value).data
  if (!answer) throw new Error(`${program}: its answer has no Username and Secret`)
  // So helpers say that the secret is an identity token.
  return answer.Username === '<token>' ? { identityToken: answer.Secret } : { username: answer.Username, password: answer.Secret }
}
