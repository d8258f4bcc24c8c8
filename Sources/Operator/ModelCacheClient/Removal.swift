internal import CRD
public import Kubernetes

/// Deletes all ModelCaches, with their copies on the nodes: before ModelCache is removed from a cluster, while operator
/// and agents still run.
///
/// **Guarantees.** It ends, at the latest a few requests after its deadline. Other finalizers than the operator's stay.
///
/// **Rights.** ModelCaches: list, delete; to give copies up also patch.
public struct Removal: Sendable {
    /// A step, for logs and people.
    public enum Step: Sendable, Equatable {
        case deleting(ObjectKey)
        /// Copies of these may be left on nodes that do not answer.
        case givingUp([ObjectKey])
    }

    private let client: KubernetesClient
    private let namespace: String?
    private let fieldManager: String
    private let told: @Sendable (Step) -> Void

    private static let pause = Duration.seconds(1)
    /// The operator may write to an object at the same time.
    private static let mostForcings = 5

    /// - Parameters:
    ///   - namespace: nil: all.
    ///   - fieldManager: the writer's name, for `managedFields`.
    public init(
        client: KubernetesClient, namespace: String?, fieldManager: String, told: @escaping @Sendable (Step) -> Void
    ) {
        self.client = client
        self.namespace = namespace
        self.fieldManager = fieldManager
        self.told = told
    }

    /// - Parameters:
    ///   - timeout: how long operator and agents may take.
    ///   - thenForce: takes the operator's finalizer off those that are left after that.
    /// - Returns: those that are left.
    /// - Throws: `KubernetesError`, `CancellationError`.
    public func run(timeout: Duration, thenForce: Bool) async throws -> [ObjectKey] {
        let deadline = ContinuousClock.now + timeout
        var left = try await present()
        while true {
            // One that was made meanwhile is deleted as well.
            for cache in left where cache.metadata.deletionTimestamp == nil {
                told(.deleting(cache.objectKey))
                do {
                    try await client.delete(ModelCache.self, cache.objectKey)
                } catch let error as KubernetesError where error.isNotFound {}
            }
            left = try await present()
            guard !left.isEmpty, ContinuousClock.now < deadline else { break }
            try await Task.sleep(for: Self.pause)
        }
        guard !left.isEmpty, thenForce else { return left.map(\.objectKey) }
        told(.givingUp(left.map(\.objectKey)))
        for _ in 0..<Self.mostForcings where !left.isEmpty {
            for cache in left { try await giveUp(cache) }
            left = try await present()
        }
        return left.map(\.objectKey)
    }

    /// Takes the operator's finalizer off, on the version that was seen: one that somebody else has just put on stays.
    private func giveUp(_ cache: ModelCache) async throws {
        let others = cache.metadata.finalizers.filter { $0 != Finalizer.name }
        let body: JSONValue = [
            "metadata": [
                "finalizers": .array(others.map { .string($0) }),
                "resourceVersion": .string(cache.metadata.resourceVersion ?? ""),
            ]
        ]
        do {
            try await client.patch(
                ModelCache.self, cache.objectKey, .merge(body), WriteOptions(fieldManager: fieldManager))
        } catch let error as KubernetesError where error.isNotFound || error.isConflict {}
    }

    private func present() async throws -> [ModelCache] {
        do {
            return try await client.listAll(ModelCache.self, in: namespace).items
        } catch let error as KubernetesError where error.isNotFound {
            // The definition is gone, and so are they.
            return []
        }
    }

    /// `a/x, b/y and 3 more`.
    public static func names(_ keys: [ObjectKey]) -> String {
        Texts.list(keys.map { "\($0.namespace)/\($0.name)" }, showing: 10)
    }
}
