/// One page of a list, or all of it.
public struct ResourceList<Resource: KubernetesResource>: Decodable, Sendable {
    public var metadata: ListMeta
    public var items: [Resource]

    public init(metadata: ListMeta = ListMeta(), items: [Resource]) {
        self.metadata = metadata
        self.items = items
    }

    private enum CodingKeys: String, CodingKey {
        case metadata
        case items
    }

    public init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        metadata = try container.decode(ListMeta.self, forKey: .metadata)
        // A Go server writes a nil slice as null.
        items = try container.decodeIfPresent([Resource].self, forKey: .items) ?? []
    }
}

/// The metadata of a list.
public struct ListMeta: Codable, Sendable, Hashable {
    /// The version of the list, from which a watch continues.
    public var resourceVersion: String?
    /// The token of the next page; absent or empty on the last page.
    public var `continue`: String?
    public var remainingItemCount: Int64?

    public init(resourceVersion: String? = nil, continue: String? = nil, remainingItemCount: Int64? = nil) {
        self.resourceVersion = resourceVersion
        self.continue = `continue`
        self.remainingItemCount = remainingItemCount
    }
}
