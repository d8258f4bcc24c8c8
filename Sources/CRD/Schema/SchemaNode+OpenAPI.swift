extension SchemaNode {
    /// As a part of a CustomResourceDefinition. `withRules` false leaves out fields that servers before 1.25 do not
    /// know.
    func openAPI(withRules: Bool) -> JSONTree {
        var members: [String: JSONTree] = [:]
        if !description.isEmpty { members["description"] = .string(description) }
        if let fallback { members["default"] = fallback }
        switch kind {
        case .object(let properties, let required):
            members["type"] = "object"
            if !properties.isEmpty {
                members["properties"] = .object(properties.mapValues { $0.openAPI(withRules: withRules) })
            }
            if !required.isEmpty { members["required"] = .array(required.sorted().map { .string($0) }) }
        case .map(let values, let maximumCount):
            members["type"] = "object"
            members["additionalProperties"] = values.openAPI(withRules: withRules)
            members["maxProperties"] = .integer(Int64(maximumCount))
            members["x-kubernetes-map-type"] = "atomic"
        case .array(let items, let maximumCount, let list):
            members["type"] = "array"
            members["items"] = items.openAPI(withRules: withRules)
            members["maxItems"] = .integer(Int64(maximumCount))
            switch list {
            case .atomic:
                members["x-kubernetes-list-type"] = "atomic"
            case .map(let keys):
                members["x-kubernetes-list-type"] = "map"
                members["x-kubernetes-list-map-keys"] = .array(keys.map { .string($0) })
            }
        case .string(let rule):
            members["type"] = "string"
            if !rule.allowed.isEmpty {
                members["enum"] = .array(rule.allowed.map { .string($0) })
            } else {
                members["maxLength"] = .integer(Int64(rule.maximumLength))
                if rule.minimumLength > 0 { members["minLength"] = .integer(Int64(rule.minimumLength)) }
            }
            if let pattern = rule.pattern { members["pattern"] = .string(pattern.expression) }
            if let format = rule.format { members["format"] = .string(format) }
        case .integer(let range):
            members["type"] = "integer"
            members["format"] = "int64"
            if range.lowerBound != .min { members["minimum"] = .integer(range.lowerBound) }
            if range.upperBound != .max { members["maximum"] = .integer(range.upperBound) }
        case .boolean:
            members["type"] = "boolean"
        case .quantity:
            members["anyOf"] = [["type": "integer"], ["type": "string"]]
            members["x-kubernetes-int-or-string"] = true
            members["pattern"] = .string(QuantityText.pattern.expression)
            members["maxLength"] = .integer(Int64(QuantityText.maximumLength))
        }
        if withRules, !rules.isEmpty {
            members["x-kubernetes-validations"] = Self.openAPI(rules)
        }
        return .object(members)
    }
}
