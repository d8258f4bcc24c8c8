import Kubernetes
import Testing

@Suite struct ListTests {
    @Test func `pages are put together, all of one version`() async throws {
        try await withServer(
            { request, answer in
                switch request.query["continue"] {
                case nil: await answer.json(listJSON([podJSON("a", version: 1), podJSON("b", version: 2)], version: 9, next: "t1"))
                case "t1": await answer.json(listJSON([podJSON("c", version: 3)], version: 9, next: "t2"))
                default: await answer.json(listJSON([], version: 9))
                }
            }, options: { $0.pageSize = 2 }
        ) { server, client in
            let list = try await client.listAll(Pod.self, in: "ns", ListOptions(labelSelector: "x"))
            #expect(list.items.map(\.objectKey.name) == ["a", "b", "c"])
            #expect(list.metadata.resourceVersion == "9")
            #expect(server.requests.map { $0.query["continue"] } == [nil, "t1", "t2"])
            #expect(server.requests.allSatisfy { $0.query["limit"] == "2" && $0.query["labelSelector"] == "x" })
        }
    }

    @Test func `an expired continue token starts the list anew, nothing of the old one is kept`() async throws {
        try await withServer({ request, answer in
            switch (request.number, request.query["continue"]) {
            case (0, nil): await answer.json(listJSON([podJSON("old", version: 1)], version: 5, next: "t1"))
            case (_, "t1"?): await answer.refuse(410, "Expired")
            case (_, nil): await answer.json(listJSON([podJSON("new", version: 7)], version: 8, next: "t2"))
            default: await answer.json(listJSON([podJSON("newer", version: 8)], version: 8))
            }
        }) { _, client in
            let list = try await client.listAll(Pod.self)
            #expect(list.items.map(\.objectKey.name) == ["new", "newer"])
            #expect(list.metadata.resourceVersion == "8")
        }
    }

    @Test func `tokens that always expire end in one large list`() async throws {
        try await withServer({ request, answer in
            if request.query["continue"] != nil { return await answer.refuse(410, "Expired") }
            let next = request.query["limit"] == nil ? "" : "t"
            await answer.json(listJSON([podJSON("a", version: 1)], version: 5, next: next))
        }) { server, client in
            let list = try await client.listAll(Pod.self)
            #expect(list.items.count == 1)
            #expect(server.requests.last?.query["limit"] == nil)
        }
    }

    @Test func `a list without items is empty`() async throws {
        try await withServer({ _, answer in
            await answer.json(#"{"metadata":{"resourceVersion":"3"},"items":null}"#)
        }) { _, client in
            let list = try await client.listAll(Pod.self)
            #expect(list.items.isEmpty)
        }
    }

    @Test func `a watch decodes every type of event and ends after an error`() async throws {
        try await withServer({ _, answer in
            await answer.head()
            await answer.write(eventJSON("ADDED", podJSON("a", version: 1)))
            await answer.write(eventJSON("MODIFIED", podJSON("a", version: 2)) + bookmarkJSON(5))
            await answer.write(eventJSON("DELETED", podJSON("a", version: 6)))
            await answer.write(eventJSON("ERROR", #"{"kind":"Status","code":410,"reason":"Expired"}"#))
            await answer.write(eventJSON("ADDED", podJSON("b", version: 1)))
            await answer.end()
        }) { server, client in
            var seen: [String] = []
            let watch = try await client.watch(
                Pod.self, in: "ns", WatchOptions(resourceVersion: "4", timeout: .seconds(300)))
            for try await event in watch {
                switch event {
                case .added(let pod): seen.append("+\(pod.resourceVersion)")
                case .modified(let pod): seen.append("~\(pod.resourceVersion)")
                case .deleted(let pod): seen.append("-\(pod.resourceVersion)")
                case .bookmark(let version): seen.append("b\(version)")
                case .error(let status): seen.append("e\(status.reason ?? "")")
                }
            }
            #expect(seen == ["+1", "~2", "b5", "-6", "eExpired"])
            #expect(
                server.requests[0].query == [
                    "watch": "true", "resourceVersion": "4", "timeoutSeconds": "300", "allowWatchBookmarks": "true",
                ])
        }
    }

    @Test func `a watch may be quiet for longer than a request may take`() async throws {
        try await withServer(
            { _, answer in
                await answer.head()
                try? await Task.sleep(for: .milliseconds(6500))
                await answer.write(eventJSON("ADDED", podJSON("a", version: 1)))
                await answer.end()
            }, options: { $0.requestTimeout = .seconds(5) }
        ) { _, client in
            var count = 0
            for try await _ in try await client.watch(Pod.self) { count += 1 }
            #expect(count == 1)
        }
    }

    @Test func `an event longer than the limit is refused`() async throws {
        try await withServer(
            { _, answer in
                await answer.head()
                for _ in 0..<100 { await answer.write(String(repeating: "x", count: 1_000)) }
                await answer.hang()
            }, options: { $0.maximumEventBytes = 10_000 }
        ) { _, client in
            await #expect(throws: KubernetesError.self) {
                for try await _ in try await client.watch(Pod.self) {}
            }
        }
    }
}
