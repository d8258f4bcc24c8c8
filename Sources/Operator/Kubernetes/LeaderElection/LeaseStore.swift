/// Reads and writes a Lease: on the API server, or in a substitute in tests.
///
/// Implementations honour task cancellation, so that the elector can give up a hanging request in time.
public protocol LeaseStore: Sendable {
    /// The lease; nil when there is none.
    func read(namespace: String, name: String) async throws -> Lease?
    /// - Throws: ``KubernetesError`` whose `isAlreadyExists` holds when the lease exists.
    func create(_ lease: Lease) async throws -> Lease
    /// - Throws: ``KubernetesError`` whose `isConflict` holds when the lease's `resourceVersion` is not current.
    func replace(_ lease: Lease) async throws -> Lease
}
