import Kubernetes
import Synchronization
import Testing
import TestSupport

/// Drives a reflector's store as a server's list and events would.
@Suite struct ReflectorTests {
    private func options() -> ReflectorOptions {
        var options = ReflectorOptions()
        options.initialBackoff = .milliseconds(2)
        options.maximumBackoff = .milliseconds(10)
        options.shortestWatch = .zero
        // A cut is no reason to list, but where a test says so.
        options.listAfterCut = .seconds(3_600)...(.seconds(3_600))
        return options
    }

    /// What a reflector's handlers were told, in order.
    private final class Journal: Sendable {
        let lines = Mutex<[String]>([])
        func note(_ event: ReflectorEvent<String>) {
            lines.withLock { lines in
                switch event {
                case .added(let key, let new): lines.append("+\(key.name)=\(new)")
                case .modified(let key, let old, let new): lines.append("~\(key.name)=\(old)>\(new)")
                case .deleted(let key, let old): lines.append("-\(key.name)=\(old)")
                }
            }
        }
        var all: [String] { lines.withLock { $0 } }
    }

    private func reflecting(
        _ handler: @escaping FaultServer.Handler, options: ReflectorOptions? = nil,
        _ body: (FaultServer, Reflector<Pod, String>, Journal) async throws -> Void
    ) async throws {
        try await withServer(handler) { server, client in
            let journal = Journal()
            let reflector = Reflector<Pod, String>(
                client: client, options: options ?? self.options(),
                indices: ["label": { _, stored in [String(stored.prefix(1))] }]
            ) { pod in
                pod.metadata.labels?["l"] == "none" ? nil : (pod.metadata.labels?["l"] ?? "") + pod.resourceVersion
            }
            reflector.addHandler { journal.note($0) }
            let running = Task { try await reflector.run() }
            do {
                try await body(server, reflector, journal)
            } catch {
                running.cancel()
                _ = await running.result
                throw error
            }
            running.cancel()
            await #expect(throws: CancellationError.self) { try await running.value }
        }
    }

    private let key = ObjectKey(namespace: "ns", name: "a")

    @Test func `the store follows list and events, and its index with it`() async throws {
        try await reflecting({ request, answer in
            guard request.query["watch"] != nil else {
                return await answer.json(listJSON([podJSON("a", version: 1), podJSON("b", version: 2)], version: 5))
            }
            await answer.head()
            await answer.write(eventJSON("MODIFIED", podJSON("a", version: 6, label: "z")))
            await answer.write(eventJSON("DELETED", podJSON("b", version: 7)))
            await answer.write(eventJSON("ADDED", podJSON("c", version: 8)))
            await answer.write(eventJSON("MODIFIED", podJSON("c", version: 9, label: "none")))
            await answer.write(bookmarkJSON(20))
            await answer.hang()
        }) { server, reflector, journal in
            try await reflector.waitUntilSynced()
            try await eventually("the bookmark") { reflector.status.bookmarks == 1 }
            #expect(Set(journal.all.prefix(2)) == ["+a=a1", "+b=a2"])
            #expect(journal.all.dropFirst(2) == ["~a=a1>z6", "-b=a2", "+c=a8", "-c=a8"])
            #expect(reflector.store.count == 1 && reflector.store.get(key) == "z6")
            #expect(reflector.store.values(index: "label", "z") == ["z6"])
            #expect(reflector.store.values(index: "label", "a").isEmpty)
            #expect(server.requests[1].query["resourceVersion"] == "5")
        }
    }

    @Test func `a watch cut at every byte loses and doubles nothing`() async throws {
        // Each round is cut one byte further; then the server goes on where the client says it is. A round has versions
        // of its own, since those of a watch never go back.
        @Sendable func round(from base: Int) -> [[UInt8]] {
            [
                eventJSON("ADDED", podJSON("a", version: base + 1)),
                eventJSON("MODIFIED", podJSON("a", version: base + 2, label: "z")),
                eventJSON("DELETED", podJSON("a", version: base + 3)),
            ].map { Array($0.utf8) }
        }
        let first = 10_000
        let whole = round(from: first).reduce(0) { $0 + $1.count }
        let cuts = Mutex(0)
        try await reflecting({ request, answer in
            guard request.query["watch"] != nil else { return await answer.json(listJSON([], version: first)) }
            let version = Int(request.query["resourceVersion"] ?? "") ?? 0
            let base = version / 10 * 10
            let events = round(from: base)
            await answer.head()
            let cut = (base - first) / 10
            cuts.withLock { $0 = cut }
            guard cut <= whole else { return await answer.hang() }
            guard version == base, cut < whole, request.number == 2 * cut + 1 else {
                // The rest of what was cut, complete, and the version from which the next round begins.
                for (index, event) in events.enumerated() where base + 1 + index > version { await answer.write(event) }
                await answer.write(bookmarkJSON(base + 10))
                return await answer.end()
            }
            await answer.write(Array(events.joined().prefix(cut)))
            await answer.cut()
        }) { _, reflector, journal in
            // Two connections and two waits a cut: how long that takes is the machine's business.
            try await eventually("all cuts", within: .seconds(600)) { cuts.withLock { $0 } > whole }
            let lines = journal.all
            #expect(lines.count == 3 * (whole + 1))
            for (index, line) in lines.enumerated() {
                let base = first + 10 * (index / 3)
                let cycle = ["+a=a\(base + 1)", "~a=a\(base + 1)>z\(base + 2)", "-a=z\(base + 2)"]
                guard line == cycle[index % 3] else { return #expect(Bool(false), "line \(index) is \(line)") }
            }
            #expect(reflector.status.lists == 1)
        }
    }

    /// How the watch of the former server ends.
    enum EndOfWatch: CaseIterable {
        case smallerVersion, cut, end
        /// A refusal that passes: a second try would be accepted.
        case refusedOnce
    }

    @Test(arguments: EndOfWatch.allCases)
    func `after a restore of etcd the objects of the restored history are shown`(end: EndOfWatch) async throws {
        // The restored server takes up a watch from a version of its former life in silence.
        var options = options()
        options.listAfterCut = .zero...(.zero)
        let former = Shared(true)
        try await reflecting(
            { request, answer in
                switch (request.query["watch"], request.query["resourceVersion"]) {
                case (nil, _) where request.number == 0:
                    return await answer.json(listJSON([podJSON("new", version: 90)], version: 100))
                case (nil, _):
                    return await answer.json(listJSON([podJSON("old", version: 7)], version: 8))
                case (_, "100"?) where former.withLock({ before in defer { before = false }; return before }):
                    if end == .refusedOnce { return await answer.refuse(503, "ServiceUnavailable") }
                    await answer.head()
                    if end == .smallerVersion { await answer.write(bookmarkJSON(9)) }
                    if end == .cut { return await answer.cut() }
                    if end == .end { return await answer.end() }
                default:
                    await answer.head()
                }
                await answer.hang()
            }, options: options
        ) { server, reflector, journal in
            try await eventually("the second watch") { server.requests.last?.query["resourceVersion"] == "8" }
            #expect(journal.all == ["+new=a90", "-new=a90", "+old=a7"])
            #expect(reflector.store.keys().map(\.name) == ["old"])
        }
    }

    @Test(arguments: [true, false])
    func `410 lists anew and reports what vanished meanwhile`(asEvent: Bool) async throws {
        try await reflecting({ request, answer in
            switch (request.query["watch"], request.query["resourceVersion"]) {
            case (nil, _) where request.number == 0:
                await answer.json(listJSON([podJSON("a", version: 1), podJSON("b", version: 2), podJSON("d", version: 3)], version: 5))
            case (nil, _):
                await answer.json(listJSON([podJSON("b", version: 2), podJSON("d", version: 30), podJSON("c", version: 7)], version: 40))
            case (_, "5"?) where asEvent:
                await answer.head()
                await answer.write(eventJSON("ERROR", #"{"kind":"Status","code":410,"reason":"Expired","message":"too old resource version"}"#))
                await answer.end()
            case (_, "5"?): await answer.refuse(410, "Expired")
            default:
                await answer.head()
                await answer.hang()
            }
        }) { server, reflector, journal in
            try await eventually("the second list") { reflector.status.lists == 2 && server.requests.count == 4 }
            #expect(journal.all.count == 6)
            #expect(journal.all[3] == "-a=a1")
            #expect(Set(journal.all[4...]) == ["~d=a3>a30", "+c=a7"])
            #expect(Set(reflector.store.keys().map(\.name)) == ["b", "c", "d"])
            #expect(server.requests[3].query["resourceVersion"] == "40")
        }
    }

    @Test func `a list is told before its changes, whatever its versions are`() async throws {
        // As after a restore of etcd: the versions are smaller than before.
        try await reflecting({ request, answer in
            switch request.number {
            case 0: await answer.json(listJSON([podJSON("a", version: 90)], version: 100))
            case 1: await answer.refuse(410, "Expired")
            case 2: await answer.json(listJSON([podJSON("a", version: 7)], version: 8))
            default:
                await answer.head()
                await answer.hang()
            }
        }) { _, reflector, journal in
            reflector.addListHandler { journal.lines.withLock { $0.append("list") } }
            try await eventually("the second list") { journal.all.contains("~a=a90>a7") }
            #expect(journal.all.suffix(2) == ["list", "~a=a90>a7"])
        }
    }

    @Test func `a bookmark is where a watch resumes`() async throws {
        try await reflecting({ request, answer in
            switch (request.query["watch"], request.query["resourceVersion"]) {
            case (nil, _): await answer.json(listJSON([podJSON("a", version: 1)], version: 5))
            case (_, "5"?):
                await answer.head()
                await answer.write(bookmarkJSON(77))
                await answer.end()
            default:
                await answer.head()
                await answer.hang()
            }
        }) { server, reflector, journal in
            try await eventually("the second watch") { server.requests.count == 3 }
            #expect(server.requests[2].query["resourceVersion"] == "77")
            #expect(journal.all == ["+a=a1"])
        }
    }

    @Test func `a connection on which nothing comes is given up`() async throws {
        var options = options()
        options.idleTimeout = .milliseconds(150)
        try await reflecting(
            { request, answer in
                guard request.query["watch"] != nil else {
                    return await answer.json(listJSON([podJSON("a", version: request.number)], version: 5))
                }
                await answer.head()
                await answer.hang()
            }, options: options
        ) { server, reflector, _ in
            try await eventually("another list") { reflector.status.lists >= 2 }
            #expect(server.requests.prefix(3).map { $0.query["watch"] } == [nil, "true", nil])
        }
    }

    @Test func `bookmarks keep a quiet connection`() async throws {
        var options = options()
        options.idleTimeout = .milliseconds(600)
        // A machine that stands still for as long as that ends the watch as well: then once more.
        for attempt in 1... {
            let requests = Shared(0)
            try await reflecting(
                { request, answer in
                    guard request.query["watch"] != nil else { return await answer.json(listJSON([], version: 5)) }
                    await answer.head()
                    for version in 6..<16 {
                        try? await Task.sleep(for: .milliseconds(100))
                        await answer.write(bookmarkJSON(version))
                    }
                    await answer.hang()
                }, options: options
            ) { server, reflector, _ in
                try await eventually("all bookmarks") { reflector.status.bookmarks >= 10 }
                requests.withLock { $0 = server.requests.count }
            }
            if requests.withLock({ $0 }) == 2 { return }
            guard attempt < 10 else {
                Issue.record("no watch with bookmarks was kept")
                return
            }
        }
    }

    @Test func `429 is waited out and a malformed event lists anew`() async throws {
        try await reflecting({ request, answer in
            switch request.number {
            case 0: await answer.refuse(429, "TooManyRequests", [("Retry-After", "1")])
            case 1: await answer.json(listJSON([podJSON("a", version: 1)], version: 5))
            case 2:
                await answer.head()
                await answer.write(eventJSON("ADDED", #"{"metadata":17}"#))
                await answer.hang()
            case 3: await answer.json(listJSON([podJSON("a", version: 9)], version: 10))
            default:
                await answer.head()
                await answer.hang()
            }
        }) { server, reflector, journal in
            let started = ContinuousClock.now
            try await reflector.waitUntilSynced()
            #expect(started.duration(to: .now) > .milliseconds(900))
            try await eventually("the second list") { reflector.status.lists == 2 }
            #expect(journal.all == ["+a=a1", "~a=a1>a9"])
        }
    }

    @Test func `readers never see half of a list`() async throws {
        let round = Mutex(0)
        try await reflecting({ request, answer in
            guard request.query["watch"] == nil else { return await answer.refuse(410, "Expired") }
            // Every list holds other objects than the one before, always 200 of them, in two pages.
            let number = round.withLock { round in
                if request.query["continue"] == nil { round += 1 }
                return round
            }
            let half = request.query["continue"] == nil ? 0..<100 : 100..<200
            await answer.json(
                listJSON(half.map { podJSON("r\(number)-\($0)", version: number) }, version: number, next: half.lowerBound == 0 ? "t" : ""))
        }) { _, reflector, _ in
            try await reflector.waitUntilSynced()
            while reflector.status.lists < 12 {
                let names = reflector.store.keys().map(\.name)
                #expect(names.count == 200)
                #expect(Set(names.map { $0.prefix { $0 != "-" } }).count == 1)
                await Task.yield()
            }
        }
    }

    @Test func `waiting for the first list can be cancelled`() async throws {
        let store = Store<Int>()
        let waiting = Task { try await store.waitUntilSynced() }
        try await Task.sleep(for: .milliseconds(20))
        waiting.cancel()
        await #expect(throws: CancellationError.self) { try await waiting.value }
        #expect(!store.hasSynced)
    }
}
