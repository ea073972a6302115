/** The libraries of every expression in Kubernetes 1.35: k8s.io/apiserver/pkg/cel/environment/base.go. */
import type { Library } from '../functions.ts'
import { optionals } from './optional.ts'
import { standard } from './standard.ts'

export const baseLibraries: readonly Library[] = [standard, optionals]
