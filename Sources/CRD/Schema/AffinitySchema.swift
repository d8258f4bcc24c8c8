/// The rules of `spec.placement.affinity`: core/v1's node affinity, with bounds.
enum AffinitySchema {
    static let node: SchemaNode = .fields(
        "Node affinity as in a pod.",
        [
            "nodeAffinity": .fields(
                "",
                [
                    "requiredDuringSchedulingIgnoredDuringExecution": .fields(
                        "A node that does not match is not used.",
                        [
                            "nodeSelectorTerms": .list("Any of them must match.", of: term, atMost: 32)
                                .with([Rules.notEmpty])
                        ],
                        required: ["nodeSelectorTerms"]),
                    "preferredDuringSchedulingIgnoredDuringExecution": .list(
                        "Nodes that match are taken first, by the sum of the weights.",
                        of: .fields(
                            "", ["weight": .whole("", 1...100), "preference": term], required: ["weight", "preference"]),
                        atMost: 32),
                ])
        ])

    private static let term: SchemaNode = .fields(
        "All requirements must match; a term without any matches no node.",
        [
            "matchExpressions": .list(
                "On the node's labels.", of: requirement.with(Rules.labelRequirement), atMost: 32),
            "matchFields": .list(
                "On the node's fields; Kubernetes knows metadata.name alone.",
                of: requirement.with(Rules.fieldRequirement), atMost: 32),
        ])

    private static let requirement: SchemaNode = .fields(
        "",
        [
            "key": .text("The label's key, or the field.", length: 1...317),
            "operator": .choice(NodeSelectorRequirement.Operator.self, "In, NotIn, Exists, DoesNotExist, Gt or Lt."),
            "values": .list(
                "At least one for In and NotIn, none for Exists and DoesNotExist, one integer for Gt and Lt.",
                of: .text("", length: 0...253), atMost: 256),
        ], required: ["key", "operator"])
}
