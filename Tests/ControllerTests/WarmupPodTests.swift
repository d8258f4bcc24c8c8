import AgentAPI
import CRD
import Controller
import Kubernetes
import Testing

@Suite struct WarmupPodTests {
    private func job(_ pods: PodTemplate = PodTemplate(), role: SourceRole? = nil) throws -> PodTemplateSpec {
        let spec = CacheSpec(source: .init(uri: "oss://models/qwen/", endpoint: "https://store", role: role))
        let template = WarmupTemplate(
            owner: Owner(namespace: "team", name: "qwen", uid: FakeWorld.uid), spec: spec, source: spec.source, image: "agent:1",
            pods: pods)
        let manifest = template.manifest(WarmupJob(name: "qwen-warm-0", node: "node-1", attempt: Attempt(generation: 1)))
        return try #require(manifest.spec?.template)
    }

    @Test func `sidecar injectors are told to stay away`() throws {
        let metadata = try #require(try job().metadata)
        #expect(metadata.labels?["sidecar.istio.io/inject"] == "false")
        #expect(metadata.annotations?["linkerd.io/inject"] == "disabled")
        #expect(metadata.annotations?["consul.hashicorp.com/connect-inject"] == "false")
        let asked = try job(PodTemplate(labels: ["sidecar.istio.io/inject": "true"]))
        #expect(asked.metadata?.labels?["sidecar.istio.io/inject"] == "true", "who writes it wants it")
    }

    @Test func `a template decides what it names, and no more`() throws {
        let pods = PodTemplate(
            labels: ["team": "a", Names.uidLabel: "spoofed"], annotations: ["note": "x", Names.nodeAnnotation: "spoofed"],
            imagePullSecrets: [.init(name: "registry")], serviceAccountName: "warm", priorityClassName: "low", runtimeClassName: "gvisor",
            tolerations: [CRD.Toleration(key: "gpu", operator: .exists)],
            resources: .init(requests: ["cpu": CRD.Quantity("1m")]), securityContext: .init(runAsUser: 1000, fsGroup: 3, supplementalGroups: [4]))
        let made = try job(pods)
        #expect(made.metadata?.labels?["team"] == "a" && made.metadata?.labels?[Names.uidLabel] == FakeWorld.uid)
        #expect(made.metadata?.annotations?["note"] == "x" && made.metadata?.annotations?[Names.nodeAnnotation] == "node-1")
        let spec = try #require(made.spec)
        let container = try #require(spec.containers.first)
        #expect(spec.imagePullSecrets == [LocalObjectReference(name: "registry")] && spec.serviceAccountName == "warm")
        #expect(spec.priorityClassName == "low" && spec.runtimeClassName == "gvisor" && spec.tolerations?.map(\.key) == ["gpu"])
        #expect(container.resources == ResourceRequirements(requests: ["cpu": "1m"]))
        #expect(container.securityContext?.runAsUser == 1000 && container.securityContext?.runAsGroup == nil)
        #expect(spec.securityContext?.fsGroup == 3 && spec.securityContext?.supplementalGroups == [4])
        #expect(spec.automountServiceAccountToken == false && spec.securityContext?.runAsNonRoot == true)
        #expect(container.securityContext?.capabilities?.drop == ["ALL"] && container.securityContext?.allowPrivilegeEscalation == false)
    }

    @Test func `a role's Job runs as its ServiceAccount and has a token for STS beside its own`() throws {
        let role = SourceRole(assumed: .init(serviceAccount: "warm", roleARN: "acs:ram::1:role/r", providerARN: "acs:ram::1:oidc-provider/p"))
        let pod = try #require(try job(PodTemplate(serviceAccountName: "other"), role: role).spec)
        #expect(pod.serviceAccountName == "warm")
        let tokens = (pod.volumes ?? []).flatMap { $0.projected?.sources ?? [] }.compactMap(\.serviceAccountToken?.audience)
        #expect(Set(tokens) == ["modelcache.io", "sts.aliyuncs.com"])
        let names = Set((pod.containers.first?.env ?? []).map(\.name))
        #expect(names.isSuperset(of: ["MODELCACHE_ROLE_TOKEN_FILE", "MODELCACHE_TOKEN_FILE"]) && !names.contains("OSS_ACCESS_KEY_ID"))
        #expect(pod.containers.first?.volumeMounts?.count == 3)
        let node = try #require(try job(role: .ofNode).spec)
        #expect(node.serviceAccountName == nil && node.containers.first?.volumeMounts?.count == 2)
    }

    @Test func `the Job of a role that the cluster gives goes the operator's way to it, and has no token for STS`() throws {
        var spec = CacheSpec(source: .init(uri: "s3://models/qwen/", endpoint: "https://store", needsKeys: true))
        spec.givenTo = "warm"
        let access = ServiceAccess(stsEndpoint: "https://sts.example", proxies: ["HTTPS_PROXY": "http://proxy:3128"], authorities: "PEM")
        func made(_ spec: CacheSpec) throws -> PodTemplateSpec {
            let template = WarmupTemplate(
                owner: Owner(namespace: "team", name: "qwen", uid: FakeWorld.uid), spec: spec, source: spec.source, image: "agent:1",
                access: access)
            return try #require(
                template.manifest(WarmupJob(name: "qwen-warm-0", node: "node-1", attempt: Attempt(generation: 1))).spec?.template)
        }
        let job = try made(spec)
        let pod = try #require(job.spec)
        #expect(pod.serviceAccountName == "warm" && job.metadata?.annotations?.values.contains("PEM") == true)
        let tokens = (pod.volumes ?? []).flatMap { $0.projected?.sources ?? [] }.compactMap(\.serviceAccountToken?.audience)
        #expect(tokens == ["modelcache.io"])
        let variables = Dictionary((pod.containers.first?.env ?? []).map { ($0.name, $0.value ?? "") }) { $1 }
        #expect(variables["MODELCACHE_CREDENTIALS"] == "pod" && variables["AWS_ENDPOINT_URL_STS"] == "https://sts.example")
        #expect(variables["SSL_CERT_FILE"]?.hasSuffix("/ca.crt") == true)
        #expect(variables["HTTPS_PROXY"] == nil, "roles are asked for without a proxy, and the agent is on the node")
        #expect(pod.volumes?.count == pod.containers.first?.volumeMounts?.count)
        // Agents read as other parties: their Jobs ask no service.
        spec.givenTo = nil
        let other = try made(spec)
        #expect(other.spec?.containers.first?.env?.contains { $0.name == "SSL_CERT_FILE" } == false)
        #expect(other.metadata?.annotations?.values.contains("PEM") == false)
    }

    @Test func `without a template the pod is as it was`() throws {
        let spec = try #require(try job().spec)
        #expect(spec.serviceAccountName == nil && spec.imagePullSecrets == nil && spec.priorityClassName == nil && spec.tolerations == nil)
        #expect(spec.containers[0].securityContext?.runAsUser == 65532 && spec.securityContext?.runAsGroup == 65532)
        #expect(spec.containers[0].resources?.limits == ["memory": "128Mi"])
    }
}
