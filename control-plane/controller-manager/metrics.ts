/** The metrics server within the process of the leading kube-controller-manager. */
import { readFile } from 'node:fs/promises'
import * as z from 'zod'
import { frontProxyOf } from '#control-plane/apiserver/authn/requestheader.ts'
import { metricsAccount, runMetricsServer } from '#control-plane/metrics-server/metricsserver.ts'
import type { RestClient } from '#shared/client/rest.ts'
import { boolFlag } from '#shared/component/flags.ts'
import type { Logger } from '#shared/component/log.ts'
import type { ServingFlags } from '#shared/component/serving.ts'

export const metricsServerFlags = {
  /** Whether metrics.k8s.io is served: at the address, and with the certificate, of the other port. */
  metricsServer: boolFlag().default(false),
  /** The authority of front proxies, which say in headers who asks, and what these may be called. */
  requestheaderClientCaFile: z.string().optional(),
  requestheaderAllowedNames: z.array(z.string()).default([]),
  requestheaderUsernameHeaders: z.array(z.string()).default(['X-Remote-User']),
  requestheaderUidHeaders: z.array(z.string()).default(['X-Remote-Uid']),
  requestheaderGroupHeaders: z.array(z.string()).default(['X-Remote-Group']),
  requestheaderExtraHeadersPrefix: z.array(z.string()).default(['X-Remote-Extra-']),
}
type Flags = z.output<z.ZodObject<typeof metricsServerFlags>> & ServingFlags & { rootCaFile?: string | undefined }

/** Resolves when `signal` aborts. The controllers go on without it when it cannot serve. */
export async function runMetrics(flags: Flags, client: RestClient, signal: AbortSignal, log: Logger): Promise<void> {
  try {
    const { bindAddress, tlsCertFile, tlsPrivateKeyFile, rootCaFile } = flags
    const frontProxy = await frontProxyOf(flags)
    if (!tlsCertFile || !tlsPrivateKeyFile || !rootCaFile || !frontProxy) return
    const [cert, key, authority] = await Promise.all([tlsCertFile, tlsPrivateKeyFile, rootCaFile].map(file => readFile(file, 'utf8')))
    const options = { enabled: flags.metricsServer, address: bindAddress, cert: cert!, key: key!, authority: authority!, frontProxy }
    await runMetricsServer(client.as(metricsAccount), options, signal, log)
  } catch (e) {
    log.error({ err: e }, 'the metrics server cannot run')
  }
}
