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

    @Test func `without a template the pod is as it was`() throws {
        let spec = try #require(try job().spec)
        #expect(spec.serviceAccountName == nil && spec.imagePullSecrets == nil && spec.priorityClassName == nil && spec.tolerations == nil)
        #expect(spec.containers[0].securityContext?.runAsUser == 65532 && spec.securityContext?.runAsGroup == 65532)
        #expect(spec.containers[0].resources?.limits == ["memory": "128Mi"])
    }
}
