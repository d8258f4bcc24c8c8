import AgentAPI
import Controller
import CRD
import Kubernetes
import Testing

@Suite struct InjectionTests {
    private let now = WallTime(seconds: 1_800_000_000)

    private func report(_ state: CacheReport.State = .ready, digest: String = "sha256:aa") -> CacheReport {
        var report = CacheReport(
            uid: "u", namespace: "team", name: "qwen", source: .init(uri: "oss://models/qwen/"), medium: .memory, state: state,
            bytesTotal: 10, pinned: true)
        report.digest = digest
        return report
    }

    @Test func theLeaderGoesByTheAgentsReports() {
        let reports = ["a": report(), "b": report(.filling), "c": report(digest: "sha256:bb"), "d": report(), "e": report()]
        var agents = Dictionary(uniqueKeysWithValues: ["a", "b", "c"].map { ($0, AgentView(node: $0, reportedAt: now)) })
        agents["d"] = AgentView(node: "d", reach: .unreachable(since: now + .seconds(-60), why: ""), reportedAt: now)
        #expect(WarmNodes.reported(reports, agents: agents, digest: "sha256:aa", now: now) == ["a"])
    }

    @Test func beforeEveryAgentWasAskedTheStatusKnowsBetter() {
        let agents = ["a": AgentView(node: "a", reportedAt: now), "b": AgentView(node: "b", reach: .unknown(since: now))]
        #expect(WarmNodes.reported(["a": report()], agents: agents, digest: "sha256:aa", now: now) == nil)
        #expect(WarmNodes.reported(["a": report()], agents: [:], digest: nil, now: now) == nil)
    }

    @Test func anotherReplicaGoesByTheStatus() {
        func status(ready: Int, _ details: [NodeDetail]) -> ModelCacheStatus {
            ModelCacheStatus(nodes: NodesStatus(desired: 3, ready: ready, details: details), seeders: ["s"])
        }
        let shown = [NodeDetail(name: "a", state: .ready, percent: 100), NodeDetail(name: "b", state: .warming, percent: 3)]
        #expect(WarmNodes.recorded(status(ready: 1, shown)) == ["a"])
        // More are ready than the details have room for.
        #expect(WarmNodes.recorded(status(ready: 2, shown)) == ["a", "s"])
        #expect(WarmNodes.recorded(nil).isEmpty)
    }

    @Test func aNodeIsNamedByItsHostnameLabelSeedersFirst() {
        func node(_ name: String, _ change: (inout NodeView) -> Void = { _ in }) -> NodeView {
            var node = NodeView(name: name, labels: [WarmNodes.hostnameLabel: "host-\(name)"])
            change(&node)
            return node
        }
        let nodes = [
            "a": node("a"), "b": node("b") { $0.isSchedulable = false }, "z": node("z"), "n": NodeView(name: "n"),
            "c": node("c") { $0.notReadySince = now + .seconds(-120) },
        ]
        let names: Set = ["a", "b", "c", "n", "z", "gone"]
        #expect(WarmNodes.hostnames(names, seeders: ["z", "other"], nodes: nodes, now: now) == ["host-z", "host-a"])
    }

    @Test func `the environment says where the source is and has no key`() {
        let source = CacheDefinition.Source(uri: "oss://models/qwen/", endpoint: "http://store", region: "cn-a", include: ["*.gguf", "a*"])
        let variables = SourceEnvironment.variables(source: source)
        #expect(variables.map(\.name) == ["OSS_PATH", "OSS_ENDPOINT", "OSS_REGION", "MODELCACHE_INCLUDE"])
        #expect(variables[3].value == "*.gguf,a*")
        #expect(SourceEnvironment.variables(source: .init(uri: "s3://b/")).map(\.name) == ["OSS_PATH"])
    }

    @Test(arguments: [("oss://b/", ["OSS"]), ("s3://b/", ["OSS", "AWS"])])
    func `direct keys are optional references, each family of entries under names of its own`(uri: String, families: [String]) {
        let keys = SourceEnvironment.directKeys(secretName: "keys", source: .init(uri: uri))
        #expect(keys.allSatisfy { $0.valueFrom?.secretKeyRef == KeySelector(name: "keys", key: $0.name, optional: true) && $0.value == nil })
        #expect(keys.map { String($0.name.prefix(3)) } == families.flatMap { [$0, $0, $0] })
    }
}
