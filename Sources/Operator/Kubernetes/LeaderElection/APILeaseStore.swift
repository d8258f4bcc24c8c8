/// Leases on the API server.
///
/// In a process that makes many requests, give it a client of its own, so that a renewal does not queue behind them.
public struct APILeaseStore: LeaseStore {
    private let client: KubernetesClient

    public init(client: KubernetesClient) {
        self.client = client
    }

    public func read(namespace: String, name: String) async throws -> Lease? {
        try await client.find(Lease.self, ObjectKey(namespace: namespace, name: name))
    }

    public func create(_ lease: Lease) async throws -> Lease { try await client.create(lease, WriteOptions()) }
    public func replace(_ lease: Lease) async throws -> Lease {
        try await client.update(lease, subresource: nil, WriteOptions())
    }
}
