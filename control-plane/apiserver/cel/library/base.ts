/** The libraries of every expression in Kubernetes 1.35: k8s.io/apiserver/pkg/cel/environment/base.go. */
import type { Library } from '../functions.ts'
import { authz } from './authz.ts'
import { namedFormats } from './format.ts'
import { lists } from './lists.ts'
import { net } from './net.ts'
import { optionals } from './optional.ts'
import { quantities } from './quantity.ts'
import { regexes } from './regex.ts'
import { semvers } from './semver.ts'
import { standard } from './standard.ts'
import { strings } from './strings.ts'
import { urls } from './url.ts'

export const baseLibraries: readonly Library[] = [
  standard,
  optionals,
  strings,
  lists,
  regexes,
  urls,
  quantities,
  net,
  namedFormats,
  semvers,
  authz,
]
