/// Leases on the API server.
///
/// Give it a client of its own where the process makes many requests: a renewal must not stand in line behind them.
public struct APILeaseStore: LeaseStore {
    private let client: KubernetesClient

    public init(client: KubernetesClient) {
        self.client = client
    }

    public func read(namespace: String, name: String) async throws -> Lease? {
        try await client.find(Lease.self, ObjectKey(namespace: namespace, name: name))
    }

    public func create(_ lease: Lease) async throws -> Lease { try await client.create(lease, WriteOptions()) }
    public func replace(_ lease: Lease) async throws -> Lease { try await client.update(lease, subresource: nil, WriteOptions()) }
}
