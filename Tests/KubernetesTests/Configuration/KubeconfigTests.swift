import Foundation
import Kubernetes
import Testing

@Suite struct KubeconfigTests {
    private let full = """
        apiVersion: v1
        kind: Config
        current-context: one
        preferences: {}
        clusters:
        - name: c1
          cluster:
            server: https://10.0.0.1:6443
            certificate-authority: pki/ca.crt
            tls-server-name: kubernetes
            proxy-url: http://proxy:3128
        - cluster: {server: "https://two:443/base/", insecure-skip-tls-verify: true}
          name: c2
        contexts:
        - name: one
          context: {cluster: c1, user: u1, namespace: team}
        - name: two
          context: {cluster: c2, user: u2}
        - name: lost
          context: {cluster: nowhere, user: u1}
        users:
        - name: u1
          user:
            client-certificate: /abs/client.crt
            client-key-data: \(Data("KEY-TEXT".utf8).base64EncodedString())
            as: somebody
            as-groups: [a, b]
        - name: u2
          user:
            exec:
              apiVersion: client.authentication.k8s.io/v1
              command: bin/plugin
              args: ["--with", "a b; rm -rf /"]
              env: [{name: TOKEN, value: hidden}]
              provideClusterInfo: true
        """

    private func error(_ body: () throws -> ClientConfiguration) -> ConfigurationError? {
        do {
            _ = try body()
            return nil
        } catch {
            return error as? ConfigurationError
        }
    }

    @Test func `a context brings cluster, user and namespace; relative paths are beside the file`() async throws {
        try await withFolder { folder in
            try write(full, to: "\(folder)/config")
            let one = try ClientConfiguration.kubeconfig(paths: ["\(folder)/config"])
            #expect(one.server == "https://10.0.0.1:6443" && one.namespace == "team")
            #expect(one.tls == TLSSettings(certificateAuthority: .file("\(folder)/pki/ca.crt"), serverName: "kubernetes"))
            #expect(one.authentication.clientCertificate == .file("/abs/client.crt"))
            #expect(one.authentication.clientKey == .inline(Array("KEY-TEXT".utf8)))
            #expect(one.impersonation == Impersonation(user: "somebody", groups: ["a", "b"]))
            #expect(one.proxyURL == "http://proxy:3128")
            let two = try ClientConfiguration.kubeconfig(paths: ["\(folder)/config"], context: "two")
            #expect(two.namespace == "default" && two.tls.insecureSkipVerify)
            #expect(two.authentication.exec?.command == "\(folder)/bin/plugin")
            #expect(two.authentication.exec?.arguments == ["--with", "a b; rm -rf /"])
        }
    }

    @Test func `of several files the first to say something wins, and missing ones are passed over`() async throws {
        try await withFolder { folder in
            try write("current-context: two\ncontexts:\n- name: two\n  context: {cluster: c1, user: u1, namespace: first}\n", to: "\(folder)/a")
            try write(full, to: "\(folder)/b")
            let merged = try ClientConfiguration.load(environment: ["KUBECONFIG": "\(folder)/none::\(folder)/a:\(folder)/b"])
            #expect(merged.namespace == "first" && merged.server == "https://10.0.0.1:6443")
            let other = try ClientConfiguration.load(context: "one", environment: ["KUBECONFIG": "\(folder)/a:\(folder)/b"])
            #expect(other.namespace == "team")
        }
    }

    @Test func `the flag comes before the environment, the environment before the pod, the pod before home`() async throws {
        try await withFolder { folder in
            for name in ["flag", "env", "home"] {
                try FileManager.default.createDirectory(atPath: "\(folder)/.kube", withIntermediateDirectories: true)
                let path = name == "home" ? "\(folder)/.kube/config" : "\(folder)/\(name)"
                try write(full.replacingOccurrences(of: "10.0.0.1", with: name), to: path)
            }
            let home = ["HOME": folder]
            let env = home.merging(["KUBECONFIG": "\(folder)/env"]) { $1 }
            #expect(try ClientConfiguration.load(kubeconfig: "\(folder)/flag", environment: env).server == "https://flag:6443")
            #expect(try ClientConfiguration.load(environment: env).server == "https://env:6443")
            #expect(try ClientConfiguration.load(environment: home).server == "https://home:6443")
            let pod = home.merging(["KUBERNETES_SERVICE_HOST": "fd00::1", "KUBERNETES_SERVICE_PORT": "443"]) { $1 }
            let found1 = error { try ClientConfiguration.load(environment: pod) }
            #expect(found1?.source == "\(ClientConfiguration.serviceAccountDirectory)/token")
            try write("t", to: "\(folder)/token")
            try write("space\n", to: "\(folder)/namespace")
            let inside = try ClientConfiguration.inCluster(environment: pod, directory: folder)
            #expect(inside.server == "https://[fd00::1]:443" && inside.namespace == "space")
            #expect(inside.authentication.tokenFile == "\(folder)/token")
        }
    }

    @Test func `what is wrong is named with its file, field and remedy`() async throws {
        try await withFolder { folder in
            let path = "\(folder)/config"
            func load(_ text: String, context: String? = nil) throws -> ConfigurationError? {
                try write(text, to: path)
                return error { try ClientConfiguration.kubeconfig(paths: [path], context: context, required: true) }
            }
            let found2 = error { try ClientConfiguration.load(kubeconfig: "\(folder)/none", environment: [:]) }
            #expect(found2?.source == "\(folder)/none")
            let found3 = error { try ClientConfiguration.load(environment: ["KUBECONFIG": "\(folder)/none"]) }
            #expect(found3?.problem == "there is no such kubeconfig")
            let found4 = try load("a: [b")
            #expect(found4?.problem.hasPrefix("it is not YAML") == true)
            for text in ["a-host-name", "- 1", "7"] {
                #expect(try load(text)?.problem == "it is no kubeconfig")
            }
            let found5 = try load("clusters: 7")
            #expect(found5?.problem.contains("clusters") == true)
            let found6 = try load(full, context: "missing")
            #expect(found6?.remedy == "choose one of: lost, one, two")
            let found7 = try load(full, context: "lost")
            #expect(found7?.field == "contexts[lost].context.cluster")
            let found8 = try load(full.replacingOccurrences(of: "client-certificate: /abs/client.crt", with: ""))
            #expect(found8?.field == "users[u1].user.client-certificate")
            let found9 = try load(full.replacingOccurrences(of: "client-key-data: ", with: "client-key-data: %"))
            #expect(found9?.field == nil)
            let found10 = try load(full.replacingOccurrences(of: "io/v1\n", with: "io/v1alpha1\n"), context: "two")
            #expect(found10?.field == "users[u2].user.exec.apiVersion")
            let found11 = try load(full.replacingOccurrences(of: "current-context: one", with: ""))
            #expect(found11?.field == "current-context")
            let found12 = try load(full.replacingOccurrences(of: "command: bin/plugin", with: ""))
            #expect(found12?.problem == "users[1].user.exec.command is missing")
        }
    }

    @Test func `printing a configuration shows no secret`() async throws {
        try await withFolder { folder in
            let text = full.replacingOccurrences(of: "as: somebody", with: "token: TOKEN-TEXT\n    username: me\n    password: PASS-TEXT")
            try write(text, to: "\(folder)/config")
            for context in ["one", "two"] {
                let configuration = try ClientConfiguration.kubeconfig(paths: ["\(folder)/config"], context: context)
                var dumped = "\(configuration) \(String(reflecting: configuration))"
                dump(configuration, to: &dumped)
                for secret in ["TOKEN-TEXT", "PASS-TEXT", "KEY-TEXT", "hidden", "rm -rf"] {
                    #expect(!dumped.contains(secret), "\(secret) in \(dumped)")
                }
                #expect(!dumped.contains("\(Array("KEY-TEXT".utf8))".dropFirst().dropLast()))
            }
        }
    }
}
