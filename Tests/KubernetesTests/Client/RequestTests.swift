import Foundation
import Kubernetes
import Synchronization
import Testing
import TestSupport

private final class Observations: RequestObserver {
    let all = Mutex<[RequestObservation]>([])
    func requestFinished(_ observation: RequestObservation) { all.withLock { $0.append(observation) } }
    var codes: [Int?] { all.withLock { $0.map(\.code) } }
}

private func failure(_ body: () async throws -> Void) async -> KubernetesError? {
    do {
        try await body()
        return nil
    } catch {
        return error as? KubernetesError
    }
}

private func text(_ error: KubernetesError?) -> String { error.map { "\($0)" } ?? "" }

private let key = ObjectKey(namespace: "ns", name: "p")

@Suite struct RequestTests {
    @Test func `paths name group, namespace, name and subresource`() async throws {
        try await withServer({ request, answer in await answer.json(#"{"metadata":{"name":"x","resourceVersion":"1"}}"#) }) { server, client in
            _ = try await client.get(Node.self, ObjectKey(name: "n 1"))
            _ = try await client.get(ConfigMap.self, key)
            _ = try await client.get(Lease.self, key, subresource: .status)
            _ = try await client.list(Lease.self)
            _ = try await client.list(Lease.self, in: "a", ListOptions(labelSelector: "a=b,c in (d,e)", limit: 5))
            #expect(
                server.requests.map(\.path) == [
                    "/api/v1/nodes/n%201", "/api/v1/namespaces/ns/configmaps/p",
                    "/apis/coordination.k8s.io/v1/namespaces/ns/leases/p/status", "/apis/coordination.k8s.io/v1/leases",
                    "/apis/coordination.k8s.io/v1/namespaces/a/leases",
                ])
            #expect(server.requests[4].query == ["labelSelector": "a=b,c in (d,e)", "limit": "5"])
            #expect(server.requests[0].headers["User-Agent"] == ["modelcache"])
        }
    }

    @Test(arguments: ["", ".", "..", "a/b", "../../secrets/x", "a%2Fb"])
    func `a name that would lead to another path is never sent`(name: String) async throws {
        try await withServer({ _, answer in await answer.json("{}") }) { server, client in
            let error = await failure { _ = try await client.get(Pod.self, ObjectKey(namespace: "ns", name: name)) }
            guard case .invalidRequest = error?.cause else { return #expect(Bool(false), "\(String(describing: error))") }
            let inNamespace = await failure { _ = try await client.get(Pod.self, ObjectKey(namespace: name, name: "x")) }
            guard case .invalidRequest = inNamespace?.cause else { return #expect(Bool(false)) }
            #expect(server.requests.isEmpty)
        }
    }

    @Test func `a refusal is decoded and says verb, resource and name`() async throws {
        try await withServer({ _, answer in
            await answer.refuse(404, "NotFound", message: #"pods \"p\" not found"#)
        }) { server, client in
            let error = await failure { _ = try await client.get(Pod.self, key) }
            #expect(error?.isNotFound == true && error?.isConflict == false)
            #expect(text(error) == #"get pods ns/p: pods "p" not found (HTTP 404)"#)
            let found = try await client.find(Pod.self, key)
            #expect(found == nil)
            #expect(server.requests.count == 2)
        }
    }

    @Test func `a refusal by something that is no API server still has its code`() async throws {
        try await withServer({ _, answer in await answer.json("<html>no</html>", 403) }) { _, client in
            let error = await failure { _ = try await client.get(Pod.self, key) }
            #expect(error?.isForbidden == true)
            #expect(error?.status?.code == 403)
        }
    }

    @Test func `the two kinds of 409 are told apart`() async throws {
        try await withServer({ request, answer in
            await answer.refuse(409, request.method == "POST" ? "AlreadyExists" : "Conflict")
        }) { _, client in
            let map = ConfigMap(metadata: ObjectMeta(name: "p", namespace: "ns"))
            let created = await failure { _ = try await client.create(map) }
            let updated = await failure { _ = try await client.update(map) }
            #expect(created?.isAlreadyExists == true && created?.isConflict == false)
            #expect(updated?.isConflict == true && updated?.isAlreadyExists == false)
        }
    }

    @Test func `a read is repeated on 5xx and broken connections, and every attempt observed`() async throws {
        let observations = Observations()
        try await withServer(
            { request, answer in
                switch request.number {
                case 0: await answer.refuse(503, "ServiceUnavailable")
                case 1: await answer.cut()
                case 2:
                    await answer.head(200, [("Content-Length", "400")])
                    await answer.write("{")
                    await answer.cut()
                default: await answer.json(podJSON("p", version: 7))
                }
            }, observer: observations
        ) { _, client in
            let pod = try await client.get(Pod.self, key)
            #expect(pod.resourceVersion == "7")
            #expect(observations.codes == [503, nil, nil, 200])
            let last = observations.all.withLock { $0[3] }
            #expect(last.attempt == 3 && last.verb == .get && last.method == "GET" && last.resource == "pods")
        }
    }

    @Test func `a read gives up after its attempts`() async throws {
        try await withServer({ _, answer in await answer.refuse(500, "InternalError") }) { server, client in
            let error = await failure { _ = try await client.get(Pod.self, key) }
            #expect(error?.status?.code == 500)
            #expect(server.requests.count == 4)
        }
    }

    @Test func `a write is sent once when its answer is lost`() async throws {
        try await withServer({ _, answer in await answer.cut() }) { server, client in
            let error = await failure {
                _ = try await client.create(ConfigMap(metadata: ObjectMeta(name: "a", namespace: "ns")))
            }
            guard case .connection = error?.cause else { return #expect(Bool(false)) }
            #expect(server.requests.count == 1)
        }
    }

    @Test func `a write is repeated when the server says when`() async throws {
        try await withServer({ request, answer in
            if request.number == 0 {
                await answer.refuse(429, "TooManyRequests", [("Retry-After", "1")])
            } else {
                await answer.json(#"{"metadata":{"name":"a"}}"#, 201)
            }
        }) { server, client in
            let started = ContinuousClock.now
            try await client.create(ConfigMap(metadata: ObjectMeta(name: "a", namespace: "ns")))
            #expect(started.duration(to: .now) >= .seconds(1))
            #expect(server.requests.count == 2)
        }
    }

    @Test func `a request that is not answered ends in time`() async throws {
        try await withServer(
            { request, answer in
                if request.path.hasSuffix("late") { await answer.head() }
                await answer.hang()
            }, options: { $0.requestTimeout = .milliseconds(200); $0.readAttempts = 1 }
        ) { _, client in
            for name in ["p", "late"] {
                let error = await failure { _ = try await client.get(Pod.self, ObjectKey(namespace: "ns", name: name)) }
                guard case .timeout = error?.cause else { return #expect(Bool(false), "\(String(describing: error))") }
            }
        }
    }

    @Test func `an answer larger than the limit is not taken`() async throws {
        try await withServer(
            { _, answer in await answer.json(String(repeating: " ", count: 5_000)) },
            options: { $0.maximumResponseBytes = 1_000 }
        ) { server, client in
            let error = await failure { _ = try await client.get(Pod.self, key) }
            guard case .tooLarge(limit: 1_000) = error?.cause else { return #expect(Bool(false)) }
            #expect(server.requests.count == 1)
        }
    }

    @Test func `an answer of another shape names the field and shows no value`() async throws {
        try await withServer({ _, answer in
            await answer.json(#"{"metadata":{"name":"p"},"data":{"k":{"hidden":"S3CRET"}}}"#)
        }) { _, client in
            let error = await failure { _ = try await client.get(Secret.self, key) }
            #expect(text(error).contains("data.k"))
            #expect(!text(error).contains("S3CRET"))
        }
    }

    @Test func `a refused connection says so`() async throws {
        let port = try UnusedPort()
        defer { port.free() }
        var options = ClientOptions()
        options.readAttempts = 1
        let client = try KubernetesClient(configuration: ClientConfiguration(server: "http://127.0.0.1:\(port.number)"), options: options)
        let error = await failure { _ = try await client.get(Pod.self, key) }
        #expect(text(error).contains("refused the connection"))
        #expect(error?.isTransient == true)
        try await client.shutdown()
    }

    @Test func `cancelling the task ends the request`() async throws {
        try await withServer({ _, answer in await answer.hang() }) { server, client in
            let task = Task { try await client.get(Pod.self, key) }
            try await eventually("the request arrives") { !server.requests.isEmpty }
            task.cancel()
            // The answer never comes: only the cancellation, or the time limit of the request with another error, ends this.
            await #expect(throws: CancellationError.self) { try await task.value }
        }
    }
}
