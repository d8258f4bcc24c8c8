extension SchemaNode {
    /// The violations of the schema in `value`, each with its field's path. Unknown members are violations too: the
    /// server drops them, though their author expects an effect.
    func problems(in value: JSONTree, at path: String) -> [FieldProblem] {
        var found: [FieldProblem] = []
        check(value, path, &found)
        return found
    }

    /// More problems would help no reader.
    static let maximumProblems = 100

    private func check(_ value: JSONTree, _ path: String, _ found: inout [FieldProblem]) {
        guard found.count < Self.maximumProblems else { return }
        func report(_ problem: String, _ remedy: String) {
            // The text before an @ in an endpoint may be a password.
            let text = value.text(limit: 80)
            found.append(
                FieldProblem(path: path, value: text.contains("@") ? nil : text, problem: problem, remedy: remedy))
        }
        switch (kind, value) {
        case (.object(let properties, let required), .object(let members)):
            Self.check(members, path, properties: properties, required: required, &found)
        case (.map(let values, let maximumCount), .object(let members)):
            if members.count > maximumCount {
                report("has \(members.count) entries", "write at most \(maximumCount)")
            }
            for name in members.keys.sorted() {
                if let member = members[name] {
                    values.check(member, "\(path)[\(FieldProblem.shortened(name))]", &found)
                }
            }
        case (.array(let items, let maximumCount, let list), .array(let elements)):
            if elements.count > maximumCount {
                report("has \(elements.count) items", "write at most \(maximumCount)")
                return
            }
            for (index, element) in elements.enumerated() { items.check(element, "\(path)[\(index)]", &found) }
            if case .map(let keys) = list {
                let identities = elements.map { element in keys.map { element[$0]?.text() ?? "" } }
                if Set(identities).count < identities.count {
                    report("names one \(keys.joined(separator: ", ")) twice", "write each once")
                }
            }
        case (.string(let rule), .string(let text)):
            if let (problem, remedy) = rule.problem(of: text) { report(problem, remedy) }
        case (.integer(let range), .integer(let number)):
            if !range.contains(number) {
                report("is out of range", "write a whole number from \(range.lowerBound) to \(range.upperBound)")
            }
        case (.boolean, .boolean), (.quantity, .integer):
            break
        case (.quantity, .string(let text)):
            if text.unicodeScalars.count > QuantityText.maximumLength || !QuantityText.pattern.matches(text) {
                report("is malformed", "write \(QuantityText.pattern.meaning)")
            }
        default:
            report("is of type \(value.typeName)", "write \(expectation)")
        }
    }

    private static func check(
        _ members: [String: JSONTree], _ path: String, properties: [String: SchemaNode], required: [String],
        _ found: inout [FieldProblem]
    ) {
        for name in required.sorted() where members[name] == nil {
            found.append(FieldProblem(path: "\(path).\(name)", problem: "is missing", remedy: "set it"))
        }
        for name in members.keys.sorted() {
            guard let member = members[name] else { continue }
            guard let rule = properties[name] else {
                found.append(
                    FieldProblem(
                        path: "\(path).\(FieldProblem.shortened(name))", problem: "is not a known field",
                        remedy: "remove it; the fields are \(properties.keys.sorted().joined(separator: ", "))"))
                continue
            }
            // The server reads null as absent where there is a default.
            if member == .null, !required.contains(name) { continue }
            rule.check(member, "\(path).\(name)", &found)
        }
    }

    private var expectation: String {
        switch kind {
        case .object, .map: "an object"
        case .array: "a list"
        case .string: "a string"
        case .integer: "a whole number"
        case .boolean: "true or false"
        case .quantity: QuantityText.pattern.meaning
        }
    }
}

extension SchemaNode.StringRule {
    /// The fault of `text`, and its remedy. Nil: it has none.
    fileprivate func problem(of text: String) -> (problem: String, remedy: String)? {
        let length = text.unicodeScalars.count
        if !allowed.isEmpty {
            guard !allowed.contains(text) else { return nil }
            return ("is not supported", "write \(allowed.filter { !$0.isEmpty }.joined(separator: ", "))")
        }
        if length > maximumLength { return ("is \(length) characters long", "write at most \(maximumLength)") }
        if length < minimumLength {
            return (text.isEmpty ? "is empty" : "is too short", "write at least \(minimumLength) characters")
        }
        if let pattern, !pattern.matches(text) { return ("is malformed", "write \(pattern.meaning)") }
        return nil
    }
}

extension SchemaNode.Pattern {
    /// Whether all of `text` matches. Its length is bounded before.
    func matches(_ text: String) -> Bool {
        // Compiled at each use, because a Regex is not Sendable; a test compiles each pattern.
        guard let regex = try? Regex(expression) else { return true }
        return (try? regex.matchingSemantics(.unicodeScalar).wholeMatch(in: text)) != nil
    }
}
