import StatusPage
import Testing

@Suite struct PageHistoryTests {
    private let node = PageData.Node(name: "node-1", agent: "Reachable", tone: .good)

    private func reading(nodes: PageReading.Look<PageData.Node>) -> PageReading {
        PageReading(models: .seen([]), nodes: nodes, flows: .seen([]), starts: .seen([], notes: ["a note"]))
    }

    @Test func `a view that goes missing keeps what was seen last, and since when it is missing`() {
        var history = PageHistory(PageData(kind: .cluster, subject: "s", release: "1"))
        history.take(reading(nodes: .seen([node])), at: 100)
        history.take(reading(nodes: .missing("no route")), at: 110)
        history.take(reading(nodes: .missing("refused")), at: 120)
        let data = history.data
        #expect(data.time == 120 && data.nodes.items == [node] && data.nodes.seen == 100)
        #expect(data.nodes.missing?.why == "refused" && data.nodes.missing?.since == 110)
        #expect(data.starts.notes == ["a note"] && data.starts.seen == 120 && data.starts.missing == nil)
        history.take(reading(nodes: .seen([])), at: 130)
        #expect(history.data.nodes == .init(items: [], seen: 130))
    }

    @Test func `a view that was never seen has no time`() {
        var history = PageHistory(PageData(kind: .node, subject: "this node", release: "1"))
        history.take(PageReading(missing: "no agent"), at: 5)
        #expect(history.data.models.seen == nil && history.data.models.missing?.since == 5)
        #expect(history.data.subject == "this node")
    }
}

@Suite struct PageFeedTests {
    /// Looks wait until the test lets them end.
    private actor Store {
        private(set) var looks = 0
        private var held: [CheckedContinuation<Void, Never>] = []
        private var begun: [CheckedContinuation<Void, Never>] = []

        func look() async -> PageReading {
            looks += 1
            for one in begun { one.resume() }
            begun = []
            await withCheckedContinuation { held.append($0) }
            return PageReading(models: .seen([]), nodes: .seen([]), flows: .seen([]), starts: .seen([]))
        }

        func letGo() {
            for one in held { one.resume() }
            held = []
        }

        func hasBegun() async { if looks == 0 { await withCheckedContinuation { begun.append($0) } } }
    }

    @Test func `pages that ask at once share one look, and the next soon after needs none`() async {
        let store = Store()
        let feed = PageFeed(
            PageData(kind: .node, subject: "", release: "", pauseMilliseconds: 3_600_000), patience: .seconds(3600)
        ) { await store.look() }
        async let first = feed.data()
        async let second = feed.data()
        await store.hasBegun()
        await store.letGo()
        #expect(await (first.models.seen, second.models.seen) == (first.time, first.time))
        _ = await feed.data()
        #expect(await store.looks == 1)
    }

    @Test func `a look without an answer is told to be missing, and its answer is shown when it comes`() async {
        let store = Store()
        let feed = PageFeed(
            PageData(kind: .node, subject: "", release: "", pauseMilliseconds: 3_600_000), patience: .zero
        ) { await store.look() }
        let late = await feed.data()
        #expect(late.models.missing?.why == "there is no answer yet" && late.models.seen == nil)
        await store.hasBegun()
        await store.letGo()
        while await feed.data().models.missing != nil { await Task.yield() }
    }
}
