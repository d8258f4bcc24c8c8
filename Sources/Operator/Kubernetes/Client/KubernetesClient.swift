public import Logging

/// A client of one API server.
///
/// ```swift
/// let client = try KubernetesClient(configuration: .load())
/// let pods = try await client.listAll(Pod.self, in: "default", ListOptions(labelSelector: "app=web"))
/// try await client.shutdown()
/// ```
///
/// **Guarantees.** Each attempt of a request other than a watch ends within ``ClientOptions/requestTimeout``. The
/// client repeats reads after broken connections, 429 and 5xx, but not writes (see ``ClientOptions/readAttempts``).
/// Responses are bounded. The client reads changed credentials and certificates again. Cancelling the task ends the
/// request. Decoding does not run on the caller's actor.
///
/// **Errors.** All verbs throw ``KubernetesError``, or `CancellationError`.
///
/// Cheap to copy: copies share connections. ``shutdown()`` ends them all.
public struct KubernetesClient: Sendable {
    let transport: Transport
    public let options: ClientOptions
    /// The namespace of the configuration's context, or of the pod.
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

    /// Closes every connection; requests in flight fail.
    public func shutdown() async throws {
        try await transport.shutdown()
    }
}
