import Foundation

extension ModelCache {
    /// Everything that is wrong with the object; empty when the operator may act on it.
    public func problems(_ policy: ValidationPolicy = ValidationPolicy()) -> [FieldProblem] {
        if let unreadable { return [unreadable] }
        return Validation.nameProblems(metadata.name) + spec.problems(policy)
    }
}

extension ModelCacheSpec {
    /// All problems: violations of the schema (an old server, or one with an edited definition, may have accepted
    /// them), and of rules that a schema cannot express. Each names its field. Only one rule reports a field.
    public func problems(_ policy: ValidationPolicy = ValidationPolicy()) -> [FieldProblem] {
        guard let tree = try? JSONTree(encoding: self) else {
            return [
                FieldProblem(
                    path: "spec", problem: "cannot be written as JSON", remedy: "remove what is no text or number")
            ]
        }
        return Validation.merged(
            SpecSchema.node.problems(in: tree, at: "spec"), Validation.semanticProblems(self, policy))
    }
}

/// Checks a document that may be anything.
public enum Validation {
    /// The result for one document.
    public struct Verdict: Codable, Sendable, Equatable {
        public var valid: Bool
        public var problems: [FieldProblem]

        init(_ problems: [FieldProblem]) {
            self.valid = problems.isEmpty
            self.problems = problems
        }

        /// One line of JSON: `{"problems":[{"path":…}],"valid":false}`.
        public var jsonLine: String {
            (try? JSONTree(encoding: self))?.text() ?? #"{"valid":false,"problems":[]}"#
        }
    }

    /// Checks a complete ModelCache in JSON. Never throws: text that is no JSON, or no ModelCache, is a problem of its
    /// own.
    public static func check(json: String, _ policy: ValidationPolicy = ValidationPolicy()) -> Verdict {
        let data = Data(json.utf8)
        guard data.count <= maximumDocumentBytes else {
            return Verdict([
                FieldProblem(path: "", problem: "is larger than an API object can be", remedy: "write at most 3 MiB")
            ])
        }
        guard let tree = try? JSONTree(parsing: data) else {
            return Verdict([FieldProblem(path: "", problem: "is no JSON", remedy: "correct its syntax")])
        }
        guard case .object(var members) = tree else {
            return Verdict([FieldProblem(path: "", problem: "is no object", remedy: "write a ModelCache")])
        }
        var problems: [FieldProblem] = []
        for (field, expected) in [("apiVersion", APIGroup.groupVersion), ("kind", APIGroup.kind)] {
            if let value = members[field], value != .string(expected) {
                problems.append(
                    FieldProblem(
                        path: field, value: value.text(limit: 80), problem: "is another kind of object",
                        remedy: "write \(expected)"))
            }
            members[field] = nil
        }
        // The server checks metadata itself.
        members["metadata"] = nil
        problems += CustomResourceDefinition.schema.problems(in: .object(members), at: "").map { problem in
            var named = problem
            named.path = String(problem.path.drop { $0 == "." })
            return named
        }
        do {
            let object = try JSONDecoder().decode(ModelCache.self, from: data)
            return Verdict(merged(problems, object.problems(policy)))
        } catch let error as DecodingError {
            return Verdict(problems.isEmpty ? [FieldProblem(error)] : problems)
        } catch {
            return Verdict(problems + [FieldProblem(path: "", problem: "cannot be read", remedy: "write a ModelCache")])
        }
    }

    /// ``check(json:_:)`` of an update, with the rules of ``Immutability``.
    ///
    /// - Parameter former: the object as it is stored, in JSON; nil at a creation. One that cannot be read forbids
    ///   nothing.
    public static func check(
        json: String, replacing former: String?, _ policy: ValidationPolicy = ValidationPolicy()
    ) -> Verdict {
        let verdict = check(json: json, policy)
        let decoder = JSONDecoder()
        guard let former, let old = try? decoder.decode(ModelCache.self, from: Data(former.utf8)),
            old.unreadable == nil, let new = try? decoder.decode(ModelCache.self, from: Data(json.utf8)),
            new.unreadable == nil
        else { return verdict }
        return Verdict(merged(verdict.problems, Immutability.problems(old: old.spec, new: new.spec)))
    }

    /// An API server's own limit for a request.
    private static let maximumDocumentBytes = 3 << 20

    /// The first list, then those problems of the second that are about other fields.
    static func merged(_ first: [FieldProblem], _ second: [FieldProblem]) -> [FieldProblem] {
        let known = Set(first.map(\.path))
        return first + second.filter { !known.contains($0.path) }
    }

    static func nameProblems(_ name: String) -> [FieldProblem] {
        guard name.utf8.count > maximumNameLength else { return [] }
        return [
            FieldProblem(
                path: "metadata.name", value: "\"\(FieldProblem.shortened(name))\"",
                problem: "is \(name.utf8.count) characters long",
                remedy: "write at most \(maximumNameLength): pods name it in a label")
        ]
    }

    /// The longest value of a label.
    static let maximumNameLength = 63

    static func semanticProblems(_ spec: ModelCacheSpec, _ policy: ValidationPolicy) -> [FieldProblem] {
        SourceCheck.problems(spec.source, policy) + PlacementCheck.problems(spec.placement)
            + WarmupCheck.problems(spec.warmup)
    }
}

enum WarmupCheck {
    /// A lower limit makes every request run into its time-out; it is nearly always a forgotten suffix.
    static let minimumBandwidth: Int64 = 64 << 10

    static func problems(_ warmup: Warmup) -> [FieldProblem] {
        bandwidthProblems(warmup)
            + (warmup.podTemplate.map { PodTemplateCheck.problems($0, at: "spec.warmup.podTemplate") } ?? [])
    }

    private static func bandwidthProblems(_ warmup: Warmup) -> [FieldProblem] {
        guard let limit = warmup.maxBytesPerSecond else { return [] }
        let path = "spec.warmup.maxBytesPerSecond"
        let value = JSONTree.string(limit.text).text(limit: 80)
        guard let bytes = limit.bytes else {
            return [
                FieldProblem(
                    path: path, value: value, problem: "is no number of bytes", remedy: "write one such as 500Mi")
            ]
        }
        guard bytes >= minimumBandwidth else {
            return [
                FieldProblem(
                    path: path, value: value, problem: "is below 64Ki a second",
                    remedy: "write at least 64Ki, or leave it out")
            ]
        }
        return []
    }
}
