import CRD
import ClusterPage
import StatusPage
import Testing

@Suite struct ClusterPageTests {
    private func model(_ status: ModelCacheStatus?) -> ModelCache {
        var model = ModelCache(
            metadata: ObjectMeta(name: "qwen", namespace: "models"),
            spec: ModelCacheSpec(source: Source(uri: "oss://m/q/", region: "cn-test")))
        model.status = status
        return model
    }

    @Test func `a model has the numbers of kubectl modelcache status`() {
        let status = ModelCacheStatus(
            phase: .warming,
            conditions: [
                Condition(
                    type: .degraded, status: .true, lastTransitionTime: "", reason: .nodesFailed, message: "node-2 failed"),
                Condition(type: .progressing, status: .true, lastTransitionTime: "", reason: .warming, message: "m"),
            ],
            nodes: NodesStatus(desired: 3, ready: 2, warming: 1),
            progress: ProgressStatus(
                bytesCached: 600_000_000, bytesTotal: 759_000_000, bytesPerSecond: 5_000_000, remainingSeconds: 32, percent: 79),
            traffic: TrafficStatus(originBytes: 253_000_000, peerBytes: 347_000_000))
        let one = ClusterPage.models([model(status)], withNamespace: true)[0]
        #expect(one.name == "models/qwen" && one.source == "oss://m/q/ in cn-test" && one.phase == "Warming" && one.tone == .busy)
        #expect(one.size?.text == "759 MB" && one.present?.text == "600 MB" && one.percent == 79 && one.nodes == "2/3")
        #expect(one.rate?.text == "5 MB/s" && one.remaining?.text == "32s" && one.fromNodes.text == "347 MB")
        #expect(one.why == ["Degraded=True (NodesFailed): node-2 failed"])
    }

    @Test func `a model without a status is pending, and one that is deleted terminates`() {
        let new = ClusterPage.models([model(nil)], withNamespace: false)[0]
        #expect(new.name == "qwen" && new.phase == "Pending" && new.size == nil && new.percent == nil && new.nodes == nil)
        var gone = model(nil)
        gone.metadata.deletionTimestamp = "2026-01-01T00:00:00Z"
        #expect(ClusterPage.models([gone], withNamespace: false)[0].phase == "Terminating")
    }

    private func copy(_ sources: [NodesReport.Source]?, state: String = "Filling") -> NodesReport.Copy {
        NodesReport.Copy(
            namespace: "models", name: "qwen", medium: "Memory", state: state, bytesCached: 42, bytesTotal: 100,
            isPinned: false, readers: 1, sources: sources)
    }

    @Test func `flows name the giver, the taker and the model`() {
        let sources = [
            NodesReport.Source(bytes: 1_000_000, bytesPerSecond: 2_000_000), NodesReport.Source(node: "node-2", bytes: 400_000),
        ]
        let report = NodesReport(nodes: [NodesReport.Node(name: "node-1", agent: "Reachable", models: [copy(sources)])])
        let flows = ClusterPage.flows(report)
        #expect(flows.map(\.from) == [.init(.store), .init(.node, "node-2")] && flows.map(\.to.name) == ["node-1", "node-1"])
        #expect(flows.map(\.rate?.text) == ["2 MB/s", nil] && flows.map(\.bytes.text) == ["1 MB", "400 kB"])
        #expect(flows.allSatisfy { $0.model == "models/qwen" } && ClusterPage.flowsProblem(report) == nil)
        let node = ClusterPage.nodes(report)[0]
        #expect(node.tone == .good && node.models == [.init(model: "models/qwen", state: "Filling", tone: .busy, percent: 42, pinned: false, readers: 1)])
    }

    @Test func `an operator of an earlier release is told apart from one whose nodes have got nothing`() {
        func report(_ models: [NodesReport.Copy]) -> NodesReport {
            NodesReport(nodes: [NodesReport.Node(name: "a", agent: "Unreachable", models: models)])
        }
        #expect(ClusterPage.flowsProblem(report([copy(nil)]))?.contains("earlier release") == true)
        #expect(ClusterPage.flowsProblem(report([])) == nil && ClusterPage.flowsProblem(report([copy([])])) == nil)
        #expect(ClusterPage.nodes(report([]))[0].tone == .bad)
    }

    @Test func `the phase that an agent cuts is shown in its parts, and all of them make up the start`() {
        var start = PodStart(
            pod: "llama-0", node: "node-1", created: 1_000,
            ends: [.scheduling: .at(1_002), .containers: .at(1_010), .loading: .ahead], now: 1_060)
        start.cut(
            .loading,
            by: PodReading(
                node: "node-1", podUID: "u", openedAt: 1_012_000, answeredMilliseconds: 500, storeBytes: 53_000_000,
                waitMilliseconds: ["store": 30_000]))
        let shown = ClusterPage.start(start, of: model(nil), withNamespace: true)
        #expect(shown.phases.map(\.name) == ["scheduling", "containers", "loading: program", "loading: opening", "loading: reading"])
        #expect(shown.phases.map(\.time.value) == [2_000, 8_000, 2_000, 500, 47_500] && shown.phases.map(\.goesOn) == [false, false, false, false, true])
        #expect(shown.total.value == 60_000 && shown.total.text == "1m0s" && shown.goesOn && shown.model == "models/qwen")
        #expect(shown.notes == ["53 MB from the store", "waited for store 30s"])
    }
}
