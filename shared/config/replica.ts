/** What one process of a cluster reads before it starts: its environment and its configuration, every problem at once. */
import { ConfigError } from '../errors.ts'
import { type Environment, inspectEnvironment, type Variables } from './environment.ts'
import { type Config, findConfig, loadConfig } from './load.ts'
import { loadWithoutSecrets } from './without-secrets.ts'

/** What a service cannot do without, and a single node makes or finds itself. */
const requirements = {
  databaseUrl: 'DATABASE_URL is not set: all processes keep what they know in one PostgreSQL (set postgres://…)',
  secret: 'HOLDFAST_SECRET is not set: the same on every process, it seals sessions and keys commitments',
  internalToken: 'HOLDFAST_INTERNAL_TOKEN is not set: the same on every process, it is what they show each other',
  brokerUrls: 'HOLDFAST_BROKER_URLS is not set: fronts ask brokers for outcomes there (set http://broker:8081)',
} as const satisfies { [Name in keyof Environment]?: string }

export type Requirement = keyof typeof requirements

export type ReplicaConfig<Required extends Requirement> = {
  readonly environment: Environment & { readonly [Name in Required]: NonNullable<Environment[Name]> }
  readonly config: Config
  readonly variables: Variables
}

/**
 * @param required what this service needs
 * @param secrets false for a service that calls no servers: their secrets need not be where it runs
 * @throws ConfigError with a sentence for each problem
 */
export function readReplica<Required extends Requirement>(
  variables: Variables,
  { required, secrets = true }: { readonly required: readonly Required[]; readonly secrets?: boolean },
): ReplicaConfig<Required> {
  const { environment, problems } = inspectEnvironment(variables)
  const named = (name: Required) => problems.some(problem => problem.startsWith(`${requirements[name].split(' ')[0]} `))
  for (const name of required) {
    if (environment[name] === undefined && !named(name)) problems.push(requirements[name])
  }
  const loaded = tryLoad(variables, environment.dataDir, secrets)
  if (loaded instanceof ConfigError) problems.push(...loaded.problems)
  if (problems.length > 0 || loaded instanceof ConfigError) throw new ConfigError(problems)
  return { environment: environment as ReplicaConfig<Required>['environment'], config: loaded, variables }
}

function tryLoad(variables: Variables, dataDir: string, secrets: boolean): Config | ConfigError {
  const { path, isExample } = findConfig(variables)
  if (isExample) return new ConfigError(['HOLDFAST_CONFIG is not set, and there is no holdfast.yaml here (write one)'])
  try {
    return (secrets ? loadConfig : loadWithoutSecrets)({ path, env: variables, dataDir })
  } catch (error) {
    if (error instanceof ConfigError) return error
    throw error
  }
}
