/** The Kubernetes manifests: valid by the schemas of their kinds, and the environment and limits the services need. */
import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import test from 'node:test'
import { fileURLToPath } from 'node:url'
import { ScaledObject } from '@kubernetes-models/keda/keda.sh/v1alpha1'
import { Deployment } from 'kubernetes-models/apps/v1'
import { NetworkPolicy } from 'kubernetes-models/networking.k8s.io/v1'
import { PodDisruptionBudget } from 'kubernetes-models/policy/v1'
import { Namespace, Service } from 'kubernetes-models/v1'
import { parse, parseAllDocuments } from 'yaml'
import { services } from '../../infra/docker/services.ts'
import { sinkGroup } from '../../services/audit/sink/sink.ts'
import { brokerGroup } from '../../services/broker/outcomes.ts'
import { readEnvironment, variables } from '../../shared/config/environment.ts'
import { loadConfig } from '../../shared/config/load.ts'
import { longestTimeoutMs } from '../../shared/config/settings.ts'
import { topics } from '../../shared/journal/topics.ts'

const folder = new URL('../../infra/kubernetes/', import.meta.url)
const read = (path: string) => readFileSync(new URL(path, folder), 'utf8')

type Variable = { readonly name: string; readonly value?: string; readonly valueFrom?: object }
type Container = {
  readonly image: string
  readonly args: string[]
  readonly env: Variable[]
  readonly ports: { containerPort: number }[]
  readonly lifecycle?: { preStop: { exec: { command: string[] } } }
  readonly securityContext: Record<string, unknown>
  readonly volumeMounts: { name: string; mountPath: string; readOnly?: boolean }[]
}
type Manifest = {
  readonly kind: string
  readonly metadata: { name: string; labels?: Record<string, string> }
  readonly spec: object
}
type PodSpec = {
  readonly enableServiceLinks: boolean
  readonly automountServiceAccountToken: boolean
  readonly terminationGracePeriodSeconds: number
  readonly securityContext: Record<string, unknown>
  readonly containers: [Container]
  readonly volumes: { name: string }[]
}

const kinds = { Deployment, Service, PodDisruptionBudget, NetworkPolicy, ScaledObject, Namespace }
const files = ['base/front.yaml', 'base/broker.yaml', 'base/audit.yaml', 'base/network.yaml', 'keda/scaling.yaml']
const manifests = [...files, 'example/namespace.yaml'].flatMap(path =>
  parseAllDocuments(read(path)).map(document => document.toJS() as Manifest),
)
const of = (kind: keyof typeof kinds, name: string) =>
  manifests.find(each => each.kind === kind && each.metadata.name === `holdfast-${name}`) ??
  assert.fail(`no ${kind} of ${name}`)
const podOf = (name: string) => (of('Deployment', name).spec as { template: { spec: PodSpec } }).template.spec
const specOf = <Spec>(kind: keyof typeof kinds, name: string) => of(kind, name).spec as unknown as Spec

test('every manifest is what the schema of its kind asks for', () => {
  for (const manifest of manifests) {
    const Kind = kinds[manifest.kind as keyof typeof kinds]
    assert.ok(Kind, `no schema for ${manifest.kind}`)
    new Kind(manifest as never).validate()
  }
  const wrong = structuredClone(of('Deployment', 'front')) as unknown as { spec: { replicas: unknown } }
  wrong.spec.replicas = 'two'
  assert.throws(() => new Deployment(wrong as never).validate(), /replicas must be integer/)
})

test('kustomization names every file, and the example uses what there is', () => {
  const base = parse(read('base/kustomization.yaml')) as { resources: string[] }
  assert.deepEqual(
    base.resources.map(name => `base/${name}`).sort(),
    files.filter(path => path.startsWith('base/')).sort(),
  )
  const example = parse(read('example/kustomization.yaml')) as {
    resources: string[]
    components: string[]
    images: { name: string; newTag: string }[]
    configMapGenerator: { name: string; files?: string[]; literals?: string[] }[]
  }
  assert.deepEqual(example.resources, ['namespace.yaml', '../base'])
  assert.deepEqual(example.components, ['../keda'])
  const version = (JSON.parse(read('../../package.json')) as { version: string }).version
  assert.deepEqual(
    example.images.map(({ name, newTag }) => [name, newTag]),
    [['holdfast', version]],
  )
  assert.deepEqual(
    example.configMapGenerator.map(({ name }) => name),
    ['holdfast-config', 'holdfast-stores'],
  )
  assert.equal(read('example/holdfast.yaml'), read('../docker/holdfast.yaml'))
})

test('each service is given what it needs, nothing that is not read, and all of it is usable', () => {
  const known = variables.map(({ name }) => name)
  for (const { name, port, required, optional } of services) {
    const { env, args, ports } = podOf(name).containers[0]
    assert.deepEqual([args, ports.map(each => each.containerPort)], [[name], [port]])
    const usedInOthers = (variable: string) => env.some(({ value }) => value?.includes(`$(${variable})`))
    const given = env.map(each => each.name).filter(variable => !usedInOthers(variable))
    for (const variable of required) assert.ok(given.includes(variable), `${name} lacks ${variable}`)
    for (const variable of given) {
      assert.ok([...required, ...optional].includes(variable), `${name} has no use for ${variable}`)
      assert.ok(known.includes(variable), `shared/config/environment.ts knows no ${variable}`)
    }
    readEnvironment(
      Object.fromEntries(env.map(({ name: key, value }) => [key, value?.replaceAll('$(POD_IP)', '10.1.2.3')])),
    )
  }
})

test('what a process that is told to stop may take is less than what it is given', () => {
  const config = loadConfig({
    path: fileURLToPath(new URL('example/holdfast.yaml', folder)),
    env: {},
    dataDir: '/data',
  })
  const valueOf = (name: string, variable: string) =>
    Number(podOf(name).containers[0].env.find(each => each.name === variable)?.value ?? 0)
  const preStopOf = (name: string) => Number(podOf(name).containers[0].lifecycle?.preStop.exec.command[1] ?? 0)
  const drain = valueOf('broker', 'HOLDFAST_DRAIN_SECONDS')
  assert.ok(drain * 1_000 >= longestTimeoutMs(config) + 5_000)
  for (const { name } of services) {
    const needed = valueOf(name, 'HOLDFAST_DRAIN_SECONDS') + preStopOf(name) + 10
    assert.ok(podOf(name).terminationGracePeriodSeconds >= needed, name)
  }
})

test('no process has rights it does not need, and it writes only to folders of its own', () => {
  for (const { name } of services) {
    const pod = podOf(name)
    const [container] = pod.containers
    assert.equal(pod.enableServiceLinks, false)
    assert.equal(pod.automountServiceAccountToken, false)
    assert.equal(pod.securityContext['runAsNonRoot'], true)
    assert.deepEqual(container.securityContext, {
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      capabilities: { drop: ['ALL'] },
    })
    const mounts = container.volumeMounts.map(mount => mount.name).sort()
    assert.deepEqual(mounts, pod.volumes.map(volume => volume.name).sort())
  }
})

test('services, budgets and policies select the pods they are about', () => {
  for (const { name, port } of services) {
    const labels = { 'app.kubernetes.io/name': 'holdfast', 'app.kubernetes.io/component': name }
    const deployment = specOf<{ selector: object; template: { metadata: { labels: object } } }>('Deployment', name)
    assert.deepEqual(deployment.template.metadata.labels, labels)
    assert.deepEqual(deployment.selector, { matchLabels: labels })
    const service = specOf<{ selector: object; ports: { port: number }[] }>('Service', name)
    assert.deepEqual([service.selector, service.ports[0]?.port], [labels, port])
    assert.deepEqual(specOf<{ selector: object }>('PodDisruptionBudget', name).selector, { matchLabels: labels })
    assert.deepEqual(specOf<{ podSelector: object }>('NetworkPolicy', name).podSelector, { matchLabels: labels })
  }
  const brokers = podOf('front').containers[0].env.find(({ name }) => name === 'HOLDFAST_BROKER_URLS')?.value
  assert.equal(brokers, `http://${of('Service', 'broker').metadata.name}:8081`)
})

type Trigger = { type: string; metadata: Record<string, string> }
type Scaling = { scaleTargetRef: { name: string }; maxReplicaCount: number; triggers: Trigger[] }

test('scaling asks for groups and topics that exist, and for no more consumers than partitions', () => {
  const consumers = { broker: [brokerGroup, topics.calls], audit: [sinkGroup, topics.events] } as const
  for (const [name, [group, topic]] of Object.entries(consumers)) {
    const { triggers, maxReplicaCount } = specOf<Scaling>('ScaledObject', name)
    const kafka = triggers.find(({ type }) => type === 'kafka')?.metadata
    assert.deepEqual([kafka?.['consumerGroup'], kafka?.['topic']], [group, topic.name])
    assert.equal(maxReplicaCount, topic.partitions)
  }
})

const catalogueUrl = new URL('../../shared/telemetry/catalogue.ts', import.meta.url)
const noMetrics = existsSync(catalogueUrl) ? false : 'this version exposes no metrics'

test('scaling asks for metrics that are exposed', { skip: noMetrics }, async () => {
  const { catalogue } = (await import(catalogueUrl.href)) as { catalogue: object }
  const queries = services
    .flatMap(({ name }) => specOf<Scaling>('ScaledObject', name).triggers)
    .flatMap(({ metadata }) => metadata['query'] ?? [])
  assert.equal(queries.length, 3)
  for (const query of queries) assert.ok((/holdfast_\w+/.exec(query)?.[0] ?? '') in catalogue, query)
})
