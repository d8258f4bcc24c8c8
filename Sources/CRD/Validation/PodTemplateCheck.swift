import Foundation

/// The rules of core/v1's own validation that a schema cannot say of a ``PodTemplate``.
enum PodTemplateCheck {
    static func problems(_ template: PodTemplate, at path: String) -> [FieldProblem] {
        var found: [FieldProblem] = []
        for (field, keys) in [("labels", template.labels.keys), ("annotations", template.annotations.keys)] {
            for key in keys.sorted() {
                found += PlacementCheck.keyProblems(key, at: "\(path).\(field)[\(FieldProblem.shortened(key))]")
            }
        }
        for (index, toleration) in template.tolerations.enumerated() {
            found += PlacementCheck.tolerationProblems(toleration, at: "\(path).tolerations[\(index)]")
        }
        let resources = template.resources ?? PodTemplate.Resources()
        for (field, amounts) in [("requests", resources.requests), ("limits", resources.limits)] {
            for name in amounts.keys.sorted() {
                let here = "\(path).resources.\(field)[\(FieldProblem.shortened(name))]"
                found += PlacementCheck.keyProblems(name, at: here)
                guard let text = amounts[name]?.text, QuantityText(parsing: text) == nil else { continue }
                found.append(
                    FieldProblem(
                        path: here, value: JSONTree.string(text).text(limit: 80), problem: "is no quantity",
                        remedy: "write one such as 100m or 64Mi"))
            }
        }
        return found
    }

    /// Of a document that a person wrote by itself, for the operator's own setting.
    static func problems(json: JSONTree) -> [FieldProblem] {
        PodTemplateSchema.node.problems(in: json, at: "podTemplate")
    }
}

extension PodTemplate {
    /// Reads one as JSON, as the operator's setting has it.
    ///
    /// - Throws: ``FieldProblem`` that names the first field that is wrong, and the remedy.
    public static func parse(_ text: String) throws(FieldProblem) -> PodTemplate {
        let data = Data(text.utf8)
        guard let tree = try? JSONDecoder().decode(JSONTree.self, from: data), case .object = tree else {
            throw FieldProblem(
                path: "podTemplate", problem: "is no JSON object",
                remedy: #"write one such as {"imagePullSecrets":[{"name":"registry"}]}"#)
        }
        if let first = PodTemplateCheck.problems(json: tree).first { throw first }
        let template: PodTemplate
        do {
            template = try JSONDecoder().decode(PodTemplate.self, from: data)
        } catch let error as DecodingError {
            throw FieldProblem(error)
        } catch {
            throw FieldProblem(
                path: "podTemplate", problem: "cannot be read",
                remedy: "write it as spec.warmup.podTemplate of a ModelCache")
        }
        if let first = PodTemplateCheck.problems(template, at: "podTemplate").first { throw first }
        return template
    }
}
