/** `--encryption-provider-config`, and its being read again when it changes (k8s.io/apiserver/pkg/server/options/encryptionconfig). */
import type { Logger } from '#shared/component/log.ts'
import { parseConfig, readText } from '#shared/component/configfile.ts'
import type { ApiServerOptions } from '../options.ts'
import { closeLater, reloading, type ReloadMetrics } from '../reload.ts'
import { encryptionConfiguration } from './configuration.ts'
import { newEncryption, type Encryption } from './transformer.ts'

/** Before plugins of a new configuration must have answered. */
const healthyMs = 10_000
const lookMs = 100

type Options = Pick<ApiServerOptions, 'encryptionProviderConfig' | 'encryptionProviderConfigAutomaticReload'>

/** Undefined without a file. Rejects with one line when it is wrong. */
export async function openEncryption(options: Options, metrics: ReloadMetrics, log: Logger): Promise<Encryption | undefined> {
  const { encryptionProviderConfig: file, encryptionProviderConfigAutomaticReload: follow } = options
  if (file === undefined) return undefined
  const load = (text: string): Promise<Encryption> => newEncryption(parseConfig(text, encryptionConfiguration, file), log)
  const initial = await readText(file)
  let current = await load(initial)
  if (!follow) return current
  const listeners: (() => void)[] = []
  const stop = reloading({ file, what: 'encryption', metrics, log, initial }, async text => {
    const next = await load(text)
    try {
      await healthy(next)
    } catch (e) {
      next.close()
      throw e
    }
    const former = current
    current = next
    for (const listener of listeners) listener()
    closeLater(() => former.close())
  })
  return {
    transformerOf: (group, resource) => current.transformerOf(group, resource),
    checks: [{ name: 'kms-providers', check: () => problemOf(current) }],
    onChange: listener => void listeners.push(listener),
    close() {
      stop()
      current.close()
    },
  }
}

const problemOf = ({ checks }: Encryption): string | undefined => checks.map(c => c.check()).find(problem => problem !== undefined)

async function healthy(encryption: Encryption): Promise<void> {
  const end = performance.now() + healthyMs
  for (;;) {
    const problem = problemOf(encryption)
    if (problem === undefined) return
    if (performance.now() > end) throw new Error(`health check for new transformers failed: ${problem}`)
    await new Promise(resolve => setTimeout(resolve, lookMs))
  }
}
