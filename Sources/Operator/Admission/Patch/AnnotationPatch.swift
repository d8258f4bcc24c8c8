internal import Kubernetes

/// The annotations that tell the outcome: of the two that say "injected" and "left alone" exactly one stands in the pod
/// afterwards, whatever stood there before.
enum AnnotationPatch {
    static func operations(_ pod: PodOutline, set: [(name: String, value: String)], remove: String)
        -> [JSONPatchOperation]
    {
        guard pod.hasAnnotations else {
            return [
                .add(
                    "/metadata/annotations",
                    .object(Dictionary(uniqueKeysWithValues: set.map { ($0.name, .string($0.value)) })))
            ]
        }
        var operations: [JSONPatchOperation] = []
        if pod.annotations[remove] != nil { operations.append(.remove(path(remove))) }
        for (name, value) in set where pod.annotations[name]?.text != value {
            operations.append(.add(path(name), .string(value)))
        }
        return operations
    }

    private static func path(_ name: String) -> String {
        "/metadata/annotations/\(JSONPatchOperation.pathSegment(name))"
    }
}
