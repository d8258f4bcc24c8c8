public import FoundationEssentials

extension ClientConfiguration {
    /// The directory of a pod's service account.
    public static let serviceAccountDirectory = "/var/run/secrets/kubernetes.io/serviceaccount"

    /// The configuration of a pod: the API server's address from the environment, and the service account's token,
    /// certificate authority and namespace. The client reads the files again when the kubelet rotates them
    /// (https://kubernetes.io/docs/tasks/run-application/access-api-from-pod/).
    ///
    /// - Throws: ``ConfigurationError`` outside of a pod, or in one without a token.
    public static func inCluster(
        environment: [String: String] = ProcessInfo.processInfo.environment,
        directory: String = serviceAccountDirectory
    ) throws -> ClientConfiguration {
        guard let host = environment["KUBERNETES_SERVICE_HOST"], !host.isEmpty,
            let port = environment["KUBERNETES_SERVICE_PORT"], !port.isEmpty
        else {
            throw ConfigurationError(
                source: "environment", field: "KUBERNETES_SERVICE_HOST", problem: "this is not a pod",
                remedy: "pass --kubeconfig or set KUBECONFIG")
        }
        guard FileManager.default.contents(atPath: "\(directory)/token") != nil else {
            throw ConfigurationError(
                source: "\(directory)/token", problem: "the service account's token cannot be read",
                remedy: "set automountServiceAccountToken: true on the pod")
        }
        let namespace = FileManager.default.contents(atPath: "\(directory)/namespace")
            .map { String(decoding: $0, as: UTF8.self).filter { !$0.isWhitespace } }
        return ClientConfiguration(
            server: "https://\(host.contains(":") ? "[\(host)]" : host):\(port)",
            namespace: namespace.flatMap { $0.isEmpty ? nil : $0 } ?? "default",
            tls: TLSSettings(certificateAuthority: .file("\(directory)/ca.crt")),
            authentication: Authentication(tokenFile: "\(directory)/token"),
            origin: "in-cluster")
    }
}
