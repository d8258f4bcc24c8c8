internal import Kubernetes

extension JSONPatchOperation {
    /// One operation for a list that is not there yet, else one for each element.
    static func append(_ elements: [JSONValue], to path: String, present: [JSONValue]?) -> [JSONPatchOperation] {
        guard !elements.isEmpty else { return [] }
        return present == nil ? [.add(path, .array(elements))] : elements.map { .add("\(path)/-", $0) }
    }
}
