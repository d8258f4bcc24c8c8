internal import Kubernetes

extension JSONValue {
    /// Nil for anything that is no string.
    var text: String? {
        if case .string(let text) = self { text } else { nil }
    }

    /// Nil for anything that is no list.
    var elements: [JSONValue]? {
        if case .array(let elements) = self { elements } else { nil }
    }

    var isNull: Bool { self == .null }

    /// Whether all of `wanted` stands here. Members besides do not matter: the API server fills in defaults, and other
    /// webhooks add theirs.
    func covers(_ wanted: JSONValue) -> Bool {
        switch (self, wanted) {
        case (.object(let members), .object(let wanted)):
            wanted.allSatisfy { name, value in members[name]?.covers(value) ?? false }
        case (.array(let elements), .array(let wanted)):
            elements.count == wanted.count && zip(elements, wanted).allSatisfy { $0.covers($1) }
        default: self == wanted
        }
    }
}
