/// The rule of one field: a node of a structural OpenAPI v3 schema.
///
/// The custom resource definition and the operator's own check both come from it, so each rule is written once. See
/// "Specifying a structural schema" in
/// https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/
public struct SchemaNode: Sendable, Equatable {
    public indirect enum Kind: Sendable, Equatable {
        case object(properties: [String: SchemaNode], required: [String])
        /// Any keys; one rule for all values.
        case map(values: SchemaNode, maximumCount: Int)
        case array(items: SchemaNode, maximumCount: Int, list: ListType)
        case string(StringRule)
        case integer(ClosedRange<Int64>)
        case boolean
        /// A number or a string that is a quantity.
        case quantity
    }

    /// How server-side apply merges a list.
    public enum ListType: Sendable, Equatable {
        case atomic
        case map(keys: [String])
    }

    public struct StringRule: Sendable, Equatable {
        public var minimumLength = 0
        /// In Unicode scalars, as the API server counts.
        public var maximumLength: Int
        public var pattern: Pattern?
        public var allowed: [String] = []
        public var format: String?
    }

    /// A regular expression with the same meaning in RE2 (the server) and Swift (the operator), and its meaning in
    /// words.
    public struct Pattern: Sendable, Equatable {
        public var expression: String
        /// Completes "must be …".
        public var meaning: String
    }

    public var kind: Kind
    public var description: String
    public var fallback: JSONTree?
    /// CEL, for servers from 1.25 on; the operator checks the same in `Validation`.
    public var rules: [CELRule] = []

    public struct CELRule: Sendable, Equatable {
        public var rule: String
        public var message: String
    }

    init(_ kind: Kind, _ description: String, default fallback: JSONTree? = nil, rules: [CELRule] = []) {
        self.kind = kind
        self.description = description
        self.fallback = fallback
        self.rules = rules
    }
}

extension SchemaNode {
    static func text(
        _ description: String, length: ClosedRange<Int>, pattern: Pattern? = nil, format: String? = nil
    ) -> SchemaNode {
        let rule = StringRule(
            minimumLength: length.lowerBound, maximumLength: length.upperBound, pattern: pattern, format: format)
        return SchemaNode(.string(rule), description)
    }

    /// One of the cases of an enumeration.
    static func choice<Choice: RawRepresentable & CaseIterable>(
        _ type: Choice.Type, _ description: String, default fallback: Choice? = nil, orEmpty: Bool = false
    ) -> SchemaNode where Choice.RawValue == String {
        let names = Choice.allCases.map(\.rawValue) + (orEmpty ? [""] : [])
        let longest = names.map { $0.unicodeScalars.count }.max() ?? 0
        return SchemaNode(
            .string(StringRule(maximumLength: longest, allowed: names)), description,
            default: fallback.map { .string($0.rawValue) })
    }

    static func whole(_ description: String, _ range: ClosedRange<Int64>, default fallback: Int? = nil) -> SchemaNode {
        SchemaNode(.integer(range), description, default: fallback.map { .integer(Int64($0)) })
    }

    static func list(
        _ description: String, of items: SchemaNode, atMost maximumCount: Int, merged list: ListType = .atomic
    ) -> SchemaNode {
        SchemaNode(.array(items: items, maximumCount: maximumCount, list: list), description)
    }

    static func fields(
        _ description: String, _ properties: [String: SchemaNode], required: [String] = [],
        default fallback: JSONTree? = nil,
        rules: [CELRule] = []
    ) -> SchemaNode {
        SchemaNode(.object(properties: properties, required: required), description, default: fallback, rules: rules)
    }
}
