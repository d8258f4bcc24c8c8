/// A Secret. Printing it shows its keys, never its values.
public struct Secret: MetadataResource, Hashable, CustomStringConvertible, CustomDebugStringConvertible,
    CustomReflectable
{
    public static let group = ""
    public static let version = "v1"
    public static let plural = "secrets"
    public static let kind = "Secret"
    public static let scope = ResourceScope.namespaced

    public var metadata: ObjectMeta
    public var type: String?
    /// The values, which the server sends in base64.
    public var data: [String: Base64Data]?
    /// Write-only: plain text that the server encodes.
    public var stringData: [String: String]?
    public var immutable: Bool?

    public init(
        metadata: ObjectMeta = ObjectMeta(), type: String? = nil, data: [String: Base64Data]? = nil,
        stringData: [String: String]? = nil, immutable: Bool? = nil
    ) {
        self.metadata = metadata
        self.type = type
        self.data = data
        self.stringData = stringData
        self.immutable = immutable
    }
}

extension Secret {
    public var description: String {
        "Secret \(objectKey) keys: \((data ?? [:]).keys.sorted().joined(separator: ", "))"
    }

    public var debugDescription: String { description }

    public var customMirror: Mirror { Mirror(self, children: ["description": description]) }
}
