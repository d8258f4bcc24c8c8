/// Rules of selectors, affinity and tolerations that a schema cannot express: those of core/v1's own validation.
///
/// https://github.com/kubernetes/kubernetes/blob/master/pkg/apis/core/validation/validation.go
enum PlacementCheck {
    static func problems(_ placement: Placement) -> [FieldProblem] {
        var found: [FieldProblem] = []
        for key in placement.nodeSelector.keys.sorted() {
            found += keyProblems(key, at: "spec.placement.nodeSelector[\(FieldProblem.shortened(key))]")
        }
        if let affinity = placement.affinity?.nodeAffinity {
            found += affinityProblems(affinity, at: "spec.placement.affinity.nodeAffinity")
        }
        for (index, toleration) in placement.tolerations.enumerated() {
            found += tolerationProblems(toleration, at: "spec.placement.tolerations[\(index)]")
        }
        return found
    }

    private static func quoted(_ text: String) -> String { JSONTree.string(text).text(limit: 80) }

    static func keyProblems(_ key: String, at path: String) -> [FieldProblem] {
        // The part before the slash is a DNS name of at most 253 characters, the other at most 63.
        let prefix = key.prefix { $0 != "/" }
        guard key.utf8.count <= 317, key.contains("/") ? prefix.utf8.count <= 253 : true,
            SchemaNode.Pattern.labelKey.matches(key)
        else {
            return [
                FieldProblem(
                    path: path, value: quoted(key), problem: "is no label's key",
                    remedy: "write \(SchemaNode.Pattern.labelKey.meaning)")
            ]
        }
        return []
    }

    private static func affinityProblems(_ affinity: NodeAffinity, at path: String) -> [FieldProblem] {
        var found: [FieldProblem] = []
        if let required = affinity.requiredDuringSchedulingIgnoredDuringExecution {
            let terms = "\(path).requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms"
            if required.nodeSelectorTerms.isEmpty {
                found.append(
                    FieldProblem(
                        path: terms, problem: "is empty: no node would match",
                        remedy: "write a term, or leave required… out"))
            }
            for (index, term) in required.nodeSelectorTerms.enumerated() {
                found += termProblems(term, at: "\(terms)[\(index)]")
            }
        }
        for (index, preferred) in affinity.preferredDuringSchedulingIgnoredDuringExecution.enumerated() {
            found += termProblems(
                preferred.preference, at: "\(path).preferredDuringSchedulingIgnoredDuringExecution[\(index)].preference"
            )
        }
        return found
    }

    private static func termProblems(_ term: NodeSelectorTerm, at path: String) -> [FieldProblem] {
        var found: [FieldProblem] = []
        for (index, requirement) in term.matchExpressions.enumerated() {
            found += expressionProblems(requirement, at: "\(path).matchExpressions[\(index)]")
        }
        for (index, requirement) in term.matchFields.enumerated() {
            found += fieldProblems(requirement, at: "\(path).matchFields[\(index)]")
        }
        return found
    }

    private static func expressionProblems(_ requirement: NodeSelectorRequirement, at path: String) -> [FieldProblem] {
        var found = keyProblems(requirement.key, at: "\(path).key")
        let values = requirement.values
        func report(_ problem: String, _ remedy: String) {
            found.append(FieldProblem(path: "\(path).values", problem: problem, remedy: remedy))
        }
        switch requirement.operator {
        case .in, .notIn:
            if values.isEmpty { report("is empty", "write at least one value for \(requirement.operator.rawValue)") }
            for (index, value) in values.enumerated()
            where value.utf8.count > 63 || !SchemaNode.Pattern.labelValue.matches(value) {
                found.append(
                    FieldProblem(
                        path: "\(path).values[\(index)]", value: quoted(value),
                        problem: "is no label's value, so nothing matches it",
                        remedy: "write \(SchemaNode.Pattern.labelValue.meaning)"))
            }
        case .exists, .doesNotExist:
            if !values.isEmpty { report("must not be there", "remove it, \(requirement.operator.rawValue) takes none") }
        case .greaterThan, .lessThan:
            if values.count != 1 {
                report("has \(values.count) items", "write exactly one for \(requirement.operator.rawValue)")
            } else if Int64(values[0]) == nil {
                found.append(
                    FieldProblem(
                        path: "\(path).values[0]", value: quoted(values[0]), problem: "is no integer",
                        remedy: "write one, as a string, for \(requirement.operator.rawValue)"))
            }
        }
        return found
    }

    private static func fieldProblems(_ requirement: NodeSelectorRequirement, at path: String) -> [FieldProblem] {
        var found: [FieldProblem] = []
        if requirement.key != "metadata.name" {
            found.append(
                FieldProblem(
                    path: "\(path).key", value: quoted(requirement.key),
                    problem: "is no field that nodes are chosen by", remedy: "write metadata.name"))
        }
        if requirement.operator != .in && requirement.operator != .notIn {
            found.append(
                FieldProblem(
                    path: "\(path).operator", value: quoted(requirement.operator.rawValue),
                    problem: "does not work on fields", remedy: "write In or NotIn"))
        }
        if requirement.values.count != 1 {
            found.append(
                FieldProblem(
                    path: "\(path).values", problem: "has \(requirement.values.count) items",
                    remedy: "write exactly one node's name"))
        } else if !SchemaNode.Pattern.objectName.matches(requirement.values[0]) {
            found.append(
                FieldProblem(
                    path: "\(path).values[0]", value: quoted(requirement.values[0]), problem: "is no node's name",
                    remedy: "write \(SchemaNode.Pattern.objectName.meaning)"))
        }
        return found
    }

    static func tolerationProblems(_ toleration: Toleration, at path: String) -> [FieldProblem] {
        var found: [FieldProblem] = []
        let exists = toleration.operator == .exists
        if let key = toleration.key, !key.isEmpty {
            found += keyProblems(key, at: "\(path).key")
        } else if !exists {
            found.append(
                FieldProblem(
                    path: "\(path).operator", value: toleration.operator.map { quoted($0.rawValue) },
                    problem: "must be Exists where key is empty",
                    remedy: "set key, or write Exists to tolerate every taint"))
        }
        if exists, let value = toleration.value, !value.isEmpty {
            found.append(
                FieldProblem(
                    path: "\(path).value", value: quoted(value), problem: "must be empty with Exists",
                    remedy: "remove it, or write Equal"))
        }
        if toleration.tolerationSeconds != nil && toleration.effect != .noExecute {
            found.append(
                FieldProblem(
                    path: "\(path).effect", value: toleration.effect.map { quoted($0.rawValue) },
                    problem: "must be NoExecute where tolerationSeconds is set",
                    remedy: "write NoExecute, or remove tolerationSeconds"))
        }
        return found
    }
}
