/// Events on the API server.
public struct APIEventSink: EventSink {
    private let client: KubernetesClient

    public init(client: KubernetesClient) {
        self.client = client
    }

    public func create(_ event: Event) async throws { try await client.create(event, WriteOptions()) }

    public func count(namespace: String, name: String, _ repetition: EventRepetition) async throws {
        try await client.patch(Event.self, ObjectKey(namespace: namespace, name: name), try .merge(repetition))
    }
}
