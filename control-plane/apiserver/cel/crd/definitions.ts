/** What custom resource definitions need of the engine. */
export { checkDefaults, checkFieldPaths, checkRules } from './definition.ts'
export { rulesOf } from './validator.ts'
