import Foundation
import Kubernetes
import Testing

@Suite struct CredentialTests {
    private let key = ObjectKey(namespace: "ns", name: "p")

    /// Answers whoever has the right token.
    private func guarded(_ token: @escaping @Sendable (Int) -> String) -> FaultServer.Handler {
        { request, answer in
            guard request.headers["Authorization"].first == "Bearer \(token(request.number))" else {
                return await answer.refuse(401, "Unauthorized")
            }
            await answer.json(podJSON("p", version: 1))
        }
    }

    private func plugin(_ folder: String, _ script: String, version: String = "v1") throws -> Authentication {
        try write("#!/bin/sh\necho run >> \(folder)/runs\n\(script)\n", to: "\(folder)/plugin", mode: 0o700)
        return Authentication(
            exec: ExecPlugin(
                apiVersion: "client.authentication.k8s.io/\(version)", command: "\(folder)/plugin",
                arguments: ["a b", "$(touch \(folder)/pwned)"], environment: ["EXTRA": "e"], installHint: "get it from x"))
    }

    private func printing(_ token: String, version: String = "v1", expires: String? = nil) -> String {
        let expiry = expires.map { #","expirationTimestamp":"\#($0)""# } ?? ""
        return #"echo '{"apiVersion":"client.authentication.k8s.io/\#(version)","kind":"ExecCredential","status":{"token":"\#(token)"\#(expiry)}}'"#
    }

    private func runs(_ folder: String) -> Int {
        (try? String(contentsOfFile: "\(folder)/runs", encoding: .utf8).split(separator: "\n").count) ?? 0
    }

    @Test func `a token file is read again after a 401`() async throws {
        try await withFolder { folder in
            try write("first\n", to: "\(folder)/token")
            try await withServer(
                guarded { $0 == 0 ? "first" : "second" }, authentication: Authentication(tokenFile: "\(folder)/token")
            ) { server, client in
                _ = try await client.get(Pod.self, key)
                try write("second\n", to: "\(folder)/token")
                _ = try await client.get(Pod.self, key)
                #expect(server.requests.map { $0.headers["Authorization"].first } == ["Bearer first", "Bearer first", "Bearer second"])
            }
        }
    }

    @Test func `a 401 is told when nothing could be different`() async throws {
        try await withServer(guarded { _ in "right" }, authentication: Authentication(token: "wrong")) { server, client in
            await #expect(throws: KubernetesError.self) { try await client.get(Pod.self, key) }
            #expect(server.requests.count == 1)
        }
    }

    @Test func `a token that could end its header is never sent`() async throws {
        try await withServer(guarded { _ in "x" }, authentication: Authentication(token: "x\r\nX-Evil: 1")) { server, client in
            await #expect(throws: KubernetesError.self) { try await client.get(Pod.self, key) }
            #expect(server.requests.isEmpty)
        }
    }

    @Test func `a user name and password are sent as Basic`() async throws {
        let authentication = Authentication(username: "me", password: "p:w")
        try await withServer({ _, answer in await answer.json(podJSON("p", version: 1)) }, authentication: authentication) { server, client in
            _ = try await client.get(Pod.self, key)
            #expect(server.requests[0].headers["Authorization"] == ["Basic " + Data("me:p:w".utf8).base64EncodedString()])
        }
    }

    @Test(arguments: ["v1", "v1beta1"])
    func `a plugin runs once, its arguments are never a shell's`(version: String) async throws {
        try await withFolder { folder in
            let script = #"[ "$1" = "a b" ] && [ "$EXTRA" = e ] && case "$KUBERNETES_EXEC_INFO" in *'"interactive":false'*) "# + printing("tok", version: version) + ";; esac"
            try await withServer(guarded { _ in "tok" }, authentication: try plugin(folder, script, version: version)) { _, client in
                try await withThrowingTaskGroup(of: Void.self) { group in
                    for _ in 0..<8 { group.addTask { _ = try await client.get(Pod.self, key) } }
                    try await group.waitForAll()
                }
                #expect(runs(folder) == 1)
                #expect(!FileManager.default.fileExists(atPath: "\(folder)/pwned"))
            }
        }
    }

    @Test func `a plugin runs again when its credentials expire or the server says 401`() async throws {
        try await withFolder { folder in
            let past = printing("tok", expires: "2020-01-01T00:00:00Z")
            try await withServer(guarded { _ in "tok" }, authentication: try plugin(folder, past)) { _, client in
                _ = try await client.get(Pod.self, key)
                _ = try await client.get(Pod.self, key)
                #expect(runs(folder) == 2)
            }
        }
        try await withFolder { folder in
            let counting = "n=$(wc -l < \(folder)/runs | tr -d ' ')\n" + printing(#"'"$n"'"#)
            try await withServer(guarded { $0 == 0 ? "1" : "2" }, authentication: try plugin(folder, counting)) { server, client in
                _ = try await client.get(Pod.self, key)
                _ = try await client.get(Pod.self, key)
                _ = try await client.get(Pod.self, key)
                #expect(runs(folder) == 2 && server.requests.count == 4)
            }
        }
    }

    @Test func `a plugin that fails is named, and what it printed is not`() async throws {
        let scripts = [
            "exit 3": "status 3", "echo SECRET-TEXT": "not JSON", "kill -9 $$": "status 137",
            printing("SECRET-TEXT", version: "v1beta1"): "no ExecCredential of",
            #"echo '{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","status":{}}'"#: "neither",
            "yes SECRET-TEXT": "more than",
        ]
        for (script, expected) in scripts {
            try await withFolder { folder in
                try await withServer(guarded { _ in "tok" }, authentication: try plugin(folder, script)) { server, client in
                    do {
                        _ = try await client.get(Pod.self, key)
                        Issue.record("\(script) was accepted")
                    } catch {
                        #expect("\(error)".contains(expected) && "\(error)".contains("\(folder)/plugin"), "\(error)")
                        #expect(!"\(error)".contains("SECRET-TEXT"))
                    }
                    #expect(server.requests.isEmpty)
                }
            }
        }
    }

    @Test func `a plugin that is not there says how to get it`() async throws {
        let exec = ExecPlugin(
            apiVersion: "client.authentication.k8s.io/v1", command: "no-such-plugin", installHint: "get it from x")
        try await withServer(guarded { _ in "t" }, authentication: Authentication(exec: exec)) { _, client in
            do {
                _ = try await client.get(Pod.self, key)
                Issue.record("it was found")
            } catch {
                #expect("\(error)".contains("get it from x"))
            }
        }
    }
}
