/// The CustomResourceDefinition of ModelCache, generated from the rules that the operator checks.
public enum CustomResourceDefinition {
    /// The servers that a definition is for.
    public enum Level: String, Sendable, CaseIterable {
        /// 1.25 and later: with CEL rules (`x-kubernetes-validations`).
        case current
        /// 1.20 and later, without CEL rules: kubectl refuses a definition with fields that the server does not know.
        /// The operator checks these rules itself.
        case legacy
    }

    /// The rules of a complete object except its metadata, which the server checks itself.
    static let schema: SchemaNode = .fields(
        "A model in an object store that is kept near the pods that read it.",
        [
            "apiVersion": .text("", length: 0...128), "kind": .text("", length: 0...128),
            // A definition may restrict only the name in metadata.
            "metadata": .fields("", ["name": .text("", length: 0...Validation.maximumNameLength)]),
            "spec": SpecSchema.node, "status": StatusSchema.node,
        ], required: ["spec"])

    private static let head = "# Made by hack/generate from Sources/CRD; edit there.\n"

    /// As YAML, with a head that names its source. The text is always the same.
    public static func yaml(_ level: Level = .legacy) -> String {
        head + "---\n" + YAMLText.document(tree(level))
    }

    /// The JSON patch (RFC 6902, as YAML) that makes the `current` definition of the `legacy` one.
    public static func rulesPatchYAML() -> String {
        head + YAMLText.document(rulesPatch())
    }

    public static func rulesPatch() -> JSONTree {
        .array(
            schema.allRules(at: "/spec/versions/0/schema/openAPIV3Schema").map { found in
                [
                    "op": "add", "path": .string(found.pointer + "/x-kubernetes-validations"),
                    "value": SchemaNode.openAPI(found.rules),
                ]
            })
    }

    public static func tree(_ level: Level = .legacy) -> JSONTree {
        [
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": [
                "name": .string("\(APIGroup.plural).\(APIGroup.group)"),
                "labels": ["app.kubernetes.io/name": "modelcache"],
            ],
            "spec": [
                "group": .string(APIGroup.group),
                "scope": "Namespaced",
                "preserveUnknownFields": false,
                "names": [
                    "kind": .string(APIGroup.kind), "listKind": .string(APIGroup.kind + "List"),
                    "plural": .string(APIGroup.plural), "singular": .string(APIGroup.singular),
                    "shortNames": [.string(APIGroup.shortName)], "categories": ["modelcache"],
                ],
                "versions": [version(level)],
            ],
        ]
    }

    private static func version(_ level: Level) -> JSONTree {
        var root = schema
        // The server checks these three; a definition may state only their type.
        if case .object(var properties, let required) = root.kind {
            for name in ["apiVersion", "kind"] { properties[name] = nil }
            root.kind = .object(properties: properties, required: required)
        }
        var openAPI = root.openAPI(withRules: level == .current)
        if case .object(var members) = openAPI, case .object(var properties)? = members["properties"] {
            properties["apiVersion"] = ["type": "string"]
            properties["kind"] = ["type": "string"]
            members["properties"] = .object(properties)
            openAPI = .object(members)
        }
        return [
            "name": .string(APIGroup.version), "served": true, "storage": true,
            "schema": ["openAPIV3Schema": openAPI],
            "subresources": ["status": [:]],
            "additionalPrinterColumns": .array(columns),
        ]
    }

    private static let columns: [JSONTree] = [
        column("Phase", ".status.phase", "Where it is in its life."),
        column("Size", ".status.source.size", "The model's size."),
        column("Ready", ".status.nodes.summary", "Nodes with a full copy, of those that should have one."),
        column("Progress", ".status.progress.summary", "Over all nodes."),
        column("Age", ".metadata.creationTimestamp", "Since its creation.", type: "date"),
        column("Source", ".spec.source.uri", "Where the model is read from.", wide: true),
        column(
            "Origin", ".status.traffic.originBytes", "Bytes read from the object store.", type: "integer", wide: true),
        column("Reason", #".status.conditions[?(@.type=="Ready")].reason"#, "What holds it back.", wide: true),
    ]

    private static func column(
        _ name: String, _ path: String, _ description: String, type: String = "string", wide: Bool = false
    ) -> JSONTree {
        var members: [String: JSONTree] = [
            "name": .string(name), "jsonPath": .string(path), "type": .string(type),
            "description": .string(description),
        ]
        if wide { members["priority"] = 1 }
        return .object(members)
    }
}
