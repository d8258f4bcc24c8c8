// ModelCacheClient: ModelCaches through the Kubernetes client, for operator and kubectl plugin.
//
// - An extension makes ModelCache a resource that the client reads and writes.
// - `Finalizer` is the finalizer that a ModelCache has while copies of it may be on nodes.
// - `Removal` deletes all ModelCaches before the operator is removed. By force it also removes the volumes of
//   those that are gone.
// Invariants: a removal ends soon after its deadline; it takes off no other finalizer than the operator's, and that one
// only from the version of the object that it has seen.
// Left to others: the copies on the nodes (Controller and the agents), the types (CRD), flags and output
// (OperatorCommand, KubectlPlugin).

internal import CRD
public import Kubernetes

/// Deletes all ModelCaches, with their copies on the nodes: before ModelCache is removed from a cluster, while operator
/// and agents still run.
///
/// **Guarantees.** It ends, at the latest a few requests after its deadline. Other finalizers than the operator's stay.
///
/// **Rights.** ModelCaches: list, delete; to give copies up also patch, and PersistentVolumes: list, delete. Without
/// the latter the volumes stay, and ``Step/volumesLeft(_:)`` tells.
public struct Removal: Sendable {
    /// A step, for logs and people.
    public enum Step: Sendable, Equatable {
        case deleting(ObjectKey)
        /// Copies of these may be left on nodes that do not answer.
        case givingUp([ObjectKey])
        /// The API server refuses to list or to delete the volumes of ModelCaches that are gone; its words.
        case volumesLeft(String)
    }

    /// Labels of the volumes that the operator makes. Nothing owns them: they have no namespace.
    private static let volumes = "app.kubernetes.io/managed-by=modelcache-operator,modelcache.io/uid"
    private static let uidLabel = "modelcache.io/uid"
    private static let namespaceAnnotation = "modelcache.io/namespace"

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
        guard thenForce else { return left.map(\.objectKey) }
        if !left.isEmpty { told(.givingUp(left.map(\.objectKey))) }
        for _ in 0..<Self.mostForcings where !left.isEmpty {
            for cache in left { try await giveUp(cache) }
            left = try await present()
        }
        try await removeVolumes(besides: Set(left.map(\.uid)))
        return left.map(\.objectKey)
    }

    /// Removes the volumes of ModelCaches that are gone: without the finalizer nobody else does before the operator
    /// goes. The bytes on the nodes are not theirs.
    private func removeVolumes(besides present: Set<String>) async throws {
        do {
            let volumes = try await client.listAll(
                PersistentVolume.self, in: nil, ListOptions(labelSelector: Self.volumes)
            ) { $0 }.items
            for volume in volumes where !present.contains(volume.metadata.labels?[Self.uidLabel] ?? "") {
                let owner = volume.metadata.annotations?[Self.namespaceAnnotation]
                guard namespace == nil || owner == namespace else { continue }
                do {
                    try await client.delete(
                        PersistentVolume.self, volume.objectKey, DeleteOptions(uid: volume.uid))
                } catch let error as KubernetesError where error.isNotFound || error.isConflict {}
            }
        } catch let error as KubernetesError where error.isForbidden {
            told(.volumesLeft("\(error)"))
        }
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
