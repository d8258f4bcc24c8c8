public import Logging

/// A client of one API server.
///
/// ```swift
/// let client = try KubernetesClient(configuration: .load())
/// let pods = try await client.listAll(Pod.self, in: "default", ListOptions(labelSelector: "app=web"))
/// try await client.shutdown()
/// ```
///
/// **Guarantees.** Every request but a watch ends within ``ClientOptions/requestTimeout`` an attempt. Reads are
/// repeated on broken connections, 429 and 5xx, writes are not (see ``ClientOptions/readAttempts``). Answers are
/// bounded. Credentials and certificates are read again when they change. Cancelling the task ends the request.
/// Objects are decoded off the caller's actor.
///
/// **Errors.** All verbs throw ``KubernetesError``, or `CancellationError`.
///
/// Cheap to copy: copies share connections. ``shutdown()`` ends them all.
public struct KubernetesClient: Sendable {
    let transport: Transport
    public let options: ClientOptions
    /// The namespace the configuration names as its own: the context's, or the pod's.
    public let defaultNamespace: String

    /// - Throws: ``ConfigurationError`` when certificates or addresses cannot be used.
    public init(
        configuration: ClientConfiguration, options: ClientOptions = ClientOptions(),
        observer: (any RequestObserver)? = nil, logger: Logger = Logger(label: "kubernetes.client")
    ) throws {
        transport = try Transport(
            configuration: configuration, options: options, observer: observer, logger: logger)
        self.options = options
        defaultNamespace = configuration.namespace
    }

    /// Closes every connection; requests under way fail.
    public func shutdown() async throws {
        try await transport.shutdown()
    }
}
