/**
 * What plugins and monitoring tools look for where kubelets have their state elsewhere. Several nodes of one machine have theirs at places
 * of their own, which pods see at the usual one: a hostPath below it is below the state directory, and plugins are told, and tell, paths
 * there.
 */
import { join, normalize } from 'node:path'

const usual = '/var/lib/kubelet'
/** Where drivers of devices write what the devices are (CDI). */
const ofCdi = /^(\/var)?\/run\/cdi(\/.*)?$/
/** Where networks that run in pods put CNI's plugins and configurations, and where plugins keep what they know. */
const ofCni = /^(?:\/etc\/cni\/(net\.d)|\/opt\/cni\/(bin)|\/var\/lib\/cni)(\/.*)?$/
const ofKubelet = /^\/var\/lib\/kubelet((\/(device-plugins|pod-resources|plugins|plugins_registry|pods)(\/.*)?)?)$/

/** Where on the node a path is that pods and plugins name. */
export function pathOnNode(path: string, rootDir: string | undefined): string {
  if (rootDir === undefined) return path
  const normal = normalize(path).replace(/\/$/, '')
  const found = ofKubelet.exec(normal)
  if (found) return join(rootDir, found[1]!)
  const cni = ofCni.exec(normal)
  if (cni) return join(rootDir, 'cni', cni[1] ?? cni[2] ?? 'lib', cni[3] ?? '')
  const cdi = ofCdi.exec(normal)
  return cdi ? join(rootDir, 'cdi', cdi[2] ?? '') : path
}

/** How plugins call a path below the state directory. */
export const pathForPlugins = (path: string, rootDir: string): string =>
  path === rootDir || path.startsWith(`${rootDir}/`) ? usual + path.slice(rootDir.length) : path
