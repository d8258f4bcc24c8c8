import Foundation
import Kubernetes
import Testing

private func json(_ text: String) throws -> JSONValue {
    try JSONDecoder().decode(JSONValue.self, from: Data(text.utf8))
}

@Suite struct WriteTests {
    private let key = ObjectKey(namespace: "ns", name: "m")

    private func sent(
        answer text: String = #"{"metadata":{"name":"m","namespace":"ns","resourceVersion":"2"}}"#,
        _ body: (KubernetesClient) async throws -> Void
    ) async throws -> FaultServer.Request {
        var request: FaultServer.Request?
        try await withServer({ _, answer in await answer.json(text) }) { server, client in
            try await body(client)
            request = server.requests.last
        }
        return try #require(request)
    }

    @Test func `what is sent says its type, with nothing that was not set`() async throws {
        let request = try await sent { client in
            let made = try await client.create(
                ConfigMap(metadata: ObjectMeta(name: "m", namespace: "ns"), data: ["a": "b"]),
                WriteOptions(fieldManager: "tester", dryRun: true))
            #expect(made.resourceVersion == "2")
        }
        #expect(request.method == "POST" && request.path == "/api/v1/namespaces/ns/configmaps")
        #expect(request.query == ["fieldManager": "tester", "dryRun": "All"])
        #expect(
            request.body
                == #"{"apiVersion":"v1","data":{"a":"b"},"kind":"ConfigMap","metadata":{"name":"m","namespace":"ns"}}"#)
    }

    @Test func `server-side apply names the manager, forces, and adds the name`() async throws {
        struct Labels: Encodable, Sendable {
            struct Metadata: Encodable, Sendable { var labels: [String: String] }
            var metadata: Metadata
        }
        let request = try await sent { client in
            try await client.apply(
                Labels(metadata: .init(labels: ["a": "b"])), as: Job.self, key, fieldManager: "me")
        }
        #expect(request.method == "PATCH" && request.path == "/apis/batch/v1/namespaces/ns/jobs/m")
        #expect(request.headers["Content-Type"] == ["application/apply-patch+yaml"])
        #expect(request.query == ["fieldManager": "me", "force": "true"])
        #expect(
            request.body
                == #"{"apiVersion":"batch/v1","kind":"Job","metadata":{"labels":{"a":"b"},"name":"m","namespace":"ns"}}"#)
    }

    @Test func `apply works for a value without metadata and for the status`() async throws {
        let request = try await sent { client in
            try await client.apply(
                ["status": ["active": 3]] as JSONValue, as: Job.self, key, subresource: .status, fieldManager: "me",
                force: false)
        }
        #expect(request.path.hasSuffix("/jobs/m/status"))
        #expect(request.query == ["fieldManager": "me"])
        #expect(try json(request.body)["metadata"]?["name"] == "m")
        #expect(try json(request.body)["status"]?["active"] == 3)
    }

    @Test func `merge and JSON patches have their own types`() async throws {
        let merge = try await sent { client in
            try await client.patch(Pod.self, key, .merge(["metadata": ["labels": ["a": nil]]] as JSONValue))
        }
        #expect(merge.headers["Content-Type"] == ["application/merge-patch+json"])
        #expect(merge.body == #"{"metadata":{"labels":{"a":null}}}"#)
        let path = "/metadata/labels/" + JSONPatchOperation.pathSegment("a/b~c")
        let steps = try await sent { client in
            try await client.patch(
                Pod.self, key,
                .json([.test(path, "x"), .add("/metadata/finalizers/-", "f"), .remove(path), .replace("/a", nil)]))
        }
        #expect(steps.headers["Content-Type"] == ["application/json-patch+json"])
        #expect(
            steps.body
                == #"[{"op":"test","path":"/metadata/labels/a~1b~0c","value":"x"},{"op":"add","path":"/metadata/finalizers/-","value":"f"},{"op":"remove","path":"/metadata/labels/a~1b~0c"},{"op":"replace","path":"/a","value":null}]"#)
    }

    @Test func `a deletion carries propagation and preconditions`() async throws {
        let request = try await sent(answer: #"{"kind":"Status","status":"Success"}"#) { client in
            let outcome = try await client.delete(
                Job.self, key, DeleteOptions(propagation: .background, uid: "u", resourceVersion: "9"))
            guard case .gone = outcome else { return #expect(Bool(false)) }
        }
        #expect(request.method == "DELETE")
        #expect(
            request.body
                == #"{"apiVersion":"v1","kind":"DeleteOptions","preconditions":{"resourceVersion":"9","uid":"u"},"propagationPolicy":"Background"}"#)
    }

    @Test func `a deletion that finalizers hold answers with the object`() async throws {
        _ = try await sent(
            answer: #"{"kind":"ConfigMap","metadata":{"name":"m","deletionTimestamp":"2026-01-01T00:00:00Z","finalizers":["f"]}}"#
        ) { client in
            let outcome = try await client.delete(ConfigMap.self, key)
            guard case .pending(let object) = outcome else { return #expect(Bool(false)) }
            #expect(object.metadata.finalizers == ["f"])
        }
    }

    @Test func `deleting a collection sends the selector`() async throws {
        let request = try await sent(answer: #"{"kind":"JobList","items":[]}"#) { client in
            try await client.deleteCollection(Job.self, in: "ns", selecting: ListOptions(labelSelector: "a=b"))
        }
        #expect(request.method == "DELETE" && request.path == "/apis/batch/v1/namespaces/ns/jobs")
        #expect(request.query == ["labelSelector": "a=b"])
    }
}
