/// The problem of one field of a ModelCache, and its remedy.
public struct FieldProblem: Error, Codable, Sendable, Equatable, CustomStringConvertible {
    /// The path in the API server's form: `spec.source.uri`, `spec.source.include[2]`,
    /// `spec.placement.nodeSelector[zone]`.
    public var path: String
    /// The value as JSON, shortened; nil where it is missing or might be a secret.
    public var value: String?
    /// Follows the path in a sentence: "is not …", "must …".
    public var problem: String
    /// The remedy, as an imperative.
    public var remedy: String

    public init(path: String, value: String? = nil, problem: String, remedy: String) {
        self.path = path
        self.value = value
        self.problem = problem
        self.remedy = remedy
    }

    /// One line: `spec.source.uri ("ftp://x") has no known scheme: write oss://bucket/prefix/`.
    public var description: String {
        "\(path)\(value.map { " (\($0))" } ?? "") \(problem): \(remedy)"
    }

    /// Names come from the user's document, so they are bounded before they are shown.
    static func shortened(_ name: String) -> String {
        name.unicodeScalars.count <= 63 ? name : String(name.unicodeScalars.prefix(62)) + "…"
    }

    init(_ error: DecodingError) {
        func path(_ keys: [any CodingKey]) -> String {
            // An item of a list has the list's path before its own.
            let start = keys.firstIndex { $0.stringValue == "spec" } ?? keys.startIndex
            return keys[start...].reduce(into: "") { text, key in
                if let index = key.intValue {
                    text += "[\(index)]"
                } else {
                    text += text.isEmpty ? key.stringValue : ".\(key.stringValue)"
                }
            }
        }
        switch error {
        case .keyNotFound(let key, let context):
            self.init(path: path(context.codingPath + [key]), problem: "is missing", remedy: "set it")
        case .typeMismatch(let type, let context), .valueNotFound(let type, let context):
            self.init(path: path(context.codingPath), problem: "is not of type \(type)", remedy: "correct it")
        case .dataCorrupted(let context):
            self.init(
                path: path(context.codingPath), problem: "cannot be read",
                remedy: "write one of the values that the schema names")
        @unknown default:
            self.init(
                path: "spec", problem: "cannot be read", remedy: "compare it with kubectl explain modelcache.spec")
        }
    }
}

extension FieldProblem {
    /// Several problems, one sentence each, cut to the size of a condition's message (32,768 characters; people read
    /// less).
    public static func summary(of problems: [FieldProblem], limit: Int = 5) -> String {
        let shown = problems.prefix(limit).map(\.description).joined(separator: "; ")
        return problems.count > limit ? shown + "; and \(problems.count - limit) more" : shown
    }
}
