/// The API server's `metav1.Status`: the body of every refusal and of a watch's ERROR event.
public struct Status: Codable, Sendable, Hashable {
    /// "Success" or "Failure".
    public var status: String?
    public var message: String?
    /// The reason for programs: "NotFound", "Conflict", "AlreadyExists", "Expired", "Invalid", ...
    public var reason: String?
    public var details: StatusDetails?
    /// The HTTP status.
    public var code: Int?
    public var metadata: ListMeta?

    public init(
        status: String? = "Failure", message: String? = nil, reason: String? = nil, details: StatusDetails? = nil,
        code: Int? = nil, metadata: ListMeta? = nil
    ) {
        self.status = status
        self.message = message
        self.reason = reason
        self.details = details
        self.code = code
        self.metadata = metadata
    }
}

/// The object that a `Status` is about.
public struct StatusDetails: Codable, Sendable, Hashable {
    public var name: String?
    public var group: String?
    public var kind: String?
    public var uid: String?
    /// Each invalid field, for reason "Invalid".
    public var causes: [StatusCause]?
    public var retryAfterSeconds: Int?

    public init(
        name: String? = nil, group: String? = nil, kind: String? = nil, uid: String? = nil,
        causes: [StatusCause]? = nil, retryAfterSeconds: Int? = nil
    ) {
        self.name = name
        self.group = group
        self.kind = kind
        self.uid = uid
        self.causes = causes
        self.retryAfterSeconds = retryAfterSeconds
    }
}

/// One invalid field.
public struct StatusCause: Codable, Sendable, Hashable {
    /// "FieldValueInvalid", "FieldValueRequired", "ResourceVersionTooLarge", ...
    public var reason: String?
    public var message: String?
    public var field: String?

    public init(reason: String? = nil, message: String? = nil, field: String? = nil) {
        self.reason = reason
        self.message = message
        self.field = field
    }
}
