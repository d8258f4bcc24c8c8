import CRD
import Testing

@Suite struct DescribeTests {
    @Test func `figures are short`() {
        #expect(Texts.bytes(0) == "0 B")
        #expect(Texts.bytes(999) == "999 B")
        #expect(Texts.bytes(1400) == "1.4 kB")
        #expect(Texts.bytes(253_000_000) == "253 MB")
        #expect(Texts.bytes(999_600) == "1 MB")
        #expect(Texts.bytes(664_000_000_000) == "664 GB")
        #expect(Texts.bytes(.max) == "9.2 EB")
        #expect(Texts.duration(45) == "45s")
        #expect(Texts.duration(200) == "3m20s")
        #expect(Texts.duration(18_600) == "5h10m")
        #expect(Texts.list(["a", "b", "c", "d", "e"]) == "a, b, c and 2 more")
        #expect(Texts.age(since: "1970-01-01T00:01:00Z", now: 100) == 40)
        #expect(Texts.age(since: "yesterday", now: 100) == nil)
    }

    @Test func `a message cannot move the cursor`() {
        #expect(Texts.plain("a\u{1b}[2Jb\r\nc\u{9b}d") == "a [2Jb  c d")
    }

    @Test func `a page has a bar for each node and fits the terminal`() {
        var model = Documents.full
        model.status?.nodes?.details = [
            NodeDetail(name: "node-1", state: .warming, percent: 42, message: "waits\u{1b}[H"),
            NodeDetail(name: "node-2", state: .ready, percent: 100),
        ]
        let page = StatusText.page(model, width: 100)
        #expect(page[0] == "full: Warming, 253 MB in 4 files, 1 of 2 nodes ready, 1 warming")
        #expect(page.contains { $0.hasPrefix("node-1   Warming   [██████████··············]    42%   waits [H") })
        #expect(page.contains { $0.contains("100%   seeder") })
        #expect(StatusText.page(model, width: 20).allSatisfy { $0.count <= 20 })
        #expect(StatusText.page(model, width: nil).allSatisfy { !$0.contains("█") })
        model.status?.nodes?.desired = 300
        model.status?.nodes?.details = (0..<100).map { NodeDetail(name: "n\($0)", state: .warming, percent: 1) }
        let short = StatusText.page(model, width: 80, height: 20)
        #expect(short.count == 20)
        #expect(short.last?.hasPrefix("and 2") == true)
    }

    @Test func `a table has a line for each, new ones too`() {
        var fresh = Documents.full
        fresh.status = nil
        let lines = StatusText.table([Documents.full, fresh], now: 0, withNamespace: true)
        #expect(lines[0].hasPrefix("NAMESPACE   NAME   PHASE     SIZE     READY   PROGRESS   AGE"))
        #expect(lines[1].contains("1/2     50%"))
        #expect(lines[2].contains("Pending"))
        #expect(StatusText.line(Documents.full) == "full Warming 1/2 50%  node-1 Warming 42%")
    }
}

@Suite struct WhyTests {
    typealias Seen = WhyObservation

    private func model(_ change: (inout ModelCache) -> Void = { _ in }) -> ModelCache {
        var model = Documents.full
        model.metadata.generation = 1
        model.spec.suspend = false
        change(&model)
        return model
    }

    private func text(_ seen: Seen) -> String { Why(seen).lines(blindSpots: seen.blindSpots).joined(separator: "\n") }

    private func pod(_ name: String, on node: String?, ready: Bool = false, phase: String = "Pending", _ reason: String? = nil, _ message: String? = nil) -> Seen.PodState {
        Seen.PodState(name: name, node: node, isReady: ready, phase: phase, reason: reason, message: message)
    }

    @Test func `a ready one is said to be ready`() {
        let seen = Seen(model: model {
            $0.status?.conditions = [Condition(type: .ready, status: .true, lastTransitionTime: "x", reason: .allNodesReady, message: "")]
            $0.status?.nodes = NodesStatus(desired: 2, ready: 2)
        }, warnings: [Seen.Warning(reason: "Old", message: "past")])
        #expect(Why(seen).isReady)
        #expect(text(seen) == "full is ready on 2 nodes.")
    }

    @Test func `nothing done yet: the operator's state is the answer`() {
        let untouched = model { $0.status = nil }
        #expect(text(Seen(model: untouched, operators: [])).contains("No operator runs in the namespace modelcache-system"))
        let pulling = pod("op-1", on: "n", "ImagePullBackOff", "no such image")
        #expect(text(Seen(model: untouched, operators: [pulling])).contains("The operator's pod op-1 is not ready: ImagePullBackOff, no such image"))
        #expect(text(Seen(model: untouched, operators: [pod("op-1", on: "n", ready: true, phase: "Running")])).contains("it is running"))
        #expect(text(Seen(model: untouched)).contains("The operator has not looked at it yet"))
    }

    @Test func `a missing Secret is named once with the command`() {
        let waiting = model {
            $0.status?.conditions = [Condition(type: .sourceResolved, status: .false, lastTransitionTime: "x", reason: .secretNotFound, message: "Secret keys not found")]
        }
        let answer = Why(Seen(model: waiting, secret: .missing))
        #expect(answer.findings.count(where: { $0.text.contains("Secret") }) == 1)
        #expect(answer.findings[0].remedy?.hasPrefix("kubectl -n default create secret generic keys") == true)
        #expect(text(Seen(model: waiting, secret: .keys(["akId"]))).contains("has no access key secret"))
        #expect(text(Seen(model: waiting, secret: .hidden, blindSpots: ["the Secret keys: you are not allowed to"])).contains("SecretNotFound"))
    }

    @Test func `each cause of a source has its own remedy`() {
        for reason in [ConditionReason.accessDenied, .noSuchBucket, .sourceEmpty, .endpointUnreachable, .clockSkewed, .sourceImmutable] {
            let seen = Seen(model: model {
                $0.status?.conditions = [Condition(type: .sourceResolved, status: .false, lastTransitionTime: "x", reason: reason, message: "the store says no")]
            })
            #expect(text(seen).contains("(\(reason.rawValue)): the store says no"))
            #expect(!text(seen).contains("see the message"))
        }
    }

    @Test func `agents that are missing or not ready are found on the very node`() {
        let waiting = model()
        #expect(text(Seen(model: waiting, agents: [])).contains("No agent runs on any node"))
        #expect(text(Seen(model: waiting, agents: [pod("a", on: "node-9", ready: true)])).contains("Node node-1 has no agent"))
        let crashing = pod("agent-1", on: "node-1", phase: "Running", "CrashLoopBackOff", "cannot mount")
        #expect(text(Seen(model: waiting, agents: [crashing])).contains("Node node-1 has an agent that is not ready: CrashLoopBackOff, cannot mount"))
    }

    @Test func `a warm-up's pod says why it waits`() {
        let agents = [pod("a", on: "node-1", ready: true, phase: "Running")]
        func why(_ pod: Seen.PodState?) -> String {
            text(Seen(model: model(), agents: agents, warmups: [Seen.Warmup(name: "job-1", node: "node-1", pod: pod)]))
        }
        #expect(why(pod("p", on: nil, "Unschedulable", "Insufficient memory")).contains("cannot take its warm-up pod: Unschedulable, Insufficient memory"))
        #expect(why(pod("p", on: "node-1", "ImagePullBackOff")).contains("cannot get the agent's image"))
        #expect(why(pod("p", on: "node-1", "CreateContainerConfigError", "secret not found")).contains("missing Secret or key"))
        #expect(why(nil).contains("has a warm-up Job without a pod"))
        var suspended = Seen.Warmup(name: "job-1", node: "node-1")
        suspended.isSuspended = true
        let held = text(Seen(model: model(), agents: agents, warmups: [suspended]))
        #expect(held.contains("suspended until its queue admits it") && !held.contains("without a pod"))
        #expect(why(pod("p", on: "node-1", phase: "Running")).contains("waits: waits"))
        let failed = Seen.Warmup(name: "job-1", node: "node-1", failure: ("BackoffLimitExceeded", ""), pod: pod("p", on: "node-1", phase: "Failed", "Error, exit code 77", "denied"))
        let answer = text(Seen(model: model(), agents: agents, warmups: [failed]))
        #expect(answer.contains("gave up (BackoffLimitExceeded): Error, exit code 77, denied"))
        #expect(answer.contains("kubectl modelcache evict full --node node-1"))
    }

    @Test func `nodes with one cause are named together`() {
        let many = model {
            $0.status?.nodes?.details = (1...9).map { NodeDetail(name: "node-\($0)", state: .pending, percent: 0) }
        }
        let answer = Why(Seen(model: many, agents: [pod("a", on: "other", ready: true)]))
        let texts = answer.findings.map(\.text)
        #expect(texts.contains("Each of the nodes node-1, node-2, node-3 and 6 more has no agent"))
        #expect(text(Seen(model: many)).contains("at most 7 nodes warm at once"))
    }

    @Test func `suspension, placement, capacity and deletion are said`() {
        func answer(_ condition: Condition) -> String { text(Seen(model: model { $0.status?.conditions = [condition] })) }
        let suspended = text(Seen(model: model { $0.spec.suspend = true }))
        #expect(suspended.contains("It is suspended"))
        let nowhere = answer(Condition(type: .progressing, status: .false, lastTransitionTime: "x", reason: .noMatchingNodes, message: "0 of 3"))
        #expect(nowhere.contains("No node matches spec.placement"))
        let full = answer(Condition(type: .capacityExceeded, status: .true, lastTransitionTime: "x", reason: .insufficientCapacity, message: "needs 5 GB"))
        #expect(full.contains("The nodes have too little capacity for it: needs 5 GB"))
        let beyond = answer(
            Condition(type: .capacityExceeded, status: .true, lastTransitionTime: "x", reason: .namespaceQuotaExceeded, message: "needs 5 GB"))
        #expect(beyond.contains("The quota of its namespace has no capacity for it: needs 5 GB") && !beyond.contains("The nodes have"))
        let going = text(Seen(model: model {
            $0.metadata.deletionTimestamp = "2026-01-02T03:04:05Z"
            $0.metadata.finalizers = ["modelcache.io/evict", "example.com/hold"]
        }))
        #expect(going.contains("is being deleted"))
        #expect(going.contains("example.com/hold"))
    }

    @Test func `a bad spec is shown field by field`() {
        #expect(text(Seen(model: model { $0.warmup(parallelism: 0) })).contains("spec.warmup.parallelism (0) is out of range"))
    }

    @Test func `events and what could not be seen close the answer`() {
        let seen = Seen(
            model: model(), warnings: [Seen.Warning(reason: "FailedCreate", message: "quota", count: 3, age: 61)],
            blindSpots: ["agents: you are not allowed to"])
        #expect(text(seen).contains("Event FailedCreate, 1m1s ago, 3 times: quota"))
        #expect(text(seen).hasSuffix("(not looked at: agents: you are not allowed to)"))
    }
}

extension ModelCache {
    fileprivate mutating func warmup(parallelism: Int) { spec.warmup.parallelism = parallelism }
}
