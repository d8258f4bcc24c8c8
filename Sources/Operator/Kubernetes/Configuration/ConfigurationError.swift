/// An unusable configuration: the problem, its place and the remedy. Never has a secret.
public struct ConfigurationError: Error, Sendable, Hashable, CustomStringConvertible {
    /// The file, or "environment".
    public var source: String
    /// The path of the field in the file: "users[admin].user.client-key-data".
    public var field: String?
    public var problem: String
    public var remedy: String

    public init(source: String, field: String? = nil, problem: String, remedy: String) {
        self.source = source
        self.field = field
        self.problem = problem
        self.remedy = remedy
    }

    public var description: String {
        "\(source)\(field.map { ": \($0)" } ?? ""): \(problem); \(remedy)"
    }
}
