/// Where a Lease is kept: the API server, or a stand-in in tests.
///
/// Implementations honour task cancellation, so that a request that hangs can be given up in time.
public protocol LeaseStore: Sendable {
    /// Nil when there is none.
    func read(namespace: String, name: String) async throws -> Lease?
    /// - Throws: ``KubernetesError`` whose `isAlreadyExists` holds when there is one.
    func create(_ lease: Lease) async throws -> Lease
    /// - Throws: ``KubernetesError`` whose `isConflict` holds when the lease's `resourceVersion` is not the current one.
    func replace(_ lease: Lease) async throws -> Lease
}
