// Kubernetes: a client of the API server, with the parts of client-go and controller-runtime that an operator needs.
//
// - Client/: `KubernetesClient` has the verbs, `Transport` the connections, and `KubernetesError` the cause of a
//   failure.
// - Configuration/: `ClientConfiguration` says where the server is and who we are. `CredentialSource` reads credentials
//   again when they change.
// - Resources/: the objects, each with the fields that are needed. A `KubernetesResource` can be read and written.
// - Reflector/: a `Reflector` keeps a `Store` equal to the server's objects, as `ReflectorMachine` decides.
// - Queue/: a `WorkQueue` gives keys to workers, as `WorkQueueState` decides.
// - LeaderElection/: a `LeaderElector` holds a Lease, as `LeaderElection` decides.
// - Events/ and Metrics/: `EventRecorder` and `MetricsRegistry`.
// Invariants:
// - A read is repeated, but for a watch. A write is repeated only if the server did not begin with it: after a 429 with
//   Retry-After, or after a 401 when the credentials have changed.
// - No redirect is followed: it could carry the token to another host. No description has a credential.
// - A handler is told of changes in their order, after the store shows them.
// - A key has one worker at a time. A key that is added meanwhile waits again.
// - A leader gives up before another one may take over.
// Left to others: all that concerns ModelCaches (ModelCacheClient, Controller).

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
