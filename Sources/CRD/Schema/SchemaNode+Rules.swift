extension SchemaNode {
    /// The CEL rules of this node and those below, each with the JSON pointer of the schema node it belongs to.
    func allRules(at pointer: String) -> [(pointer: String, rules: [CELRule])] {
        var found = rules.isEmpty ? [] : [(pointer: pointer, rules: rules)]
        switch kind {
        case .object(let properties, _):
            for name in properties.keys.sorted() {
                if let node = properties[name] { found += node.allRules(at: "\(pointer)/properties/\(name)") }
            }
        case .map(let values, _):
            found += values.allRules(at: "\(pointer)/additionalProperties")
        case .array(let items, _, _):
            found += items.allRules(at: "\(pointer)/items")
        case .string, .integer, .boolean, .quantity:
            break
        }
        return found
    }

    static func openAPI(_ rules: [CELRule]) -> JSONTree {
        .array(rules.map { ["rule": .string($0.rule), "message": .string($0.message)] })
    }
}
