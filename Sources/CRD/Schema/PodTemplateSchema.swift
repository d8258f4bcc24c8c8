/// The rules of `spec.warmup.podTemplate`: core/v1's own, with bounds.
enum PodTemplateSchema {
    static let node: SchemaNode = .fields(
        """
        Settings of the pods of warm-up Jobs. Resources,
            securityContext and imagePullSecrets also concern pods that wait for \
        the model.
        """,
        [
            "labels": SchemaNode(
                .map(values: .text("", length: 0...63, pattern: .labelValue), maximumCount: 32), "Labels of the pods."),
            "annotations": SchemaNode(
                .map(values: .text("", length: 0...4096), maximumCount: 32), "Annotations of the pods."),
            "imagePullSecrets": .list(
                "Secrets of the namespace with a registry's credentials.",
                of: .fields(
                    "", ["name": .text("The Secret's name.", length: 1...253, pattern: .objectName)],
                    required: ["name"]),
                atMost: 16),
            "serviceAccountName": .text(
                "The pods' ServiceAccount, of the ModelCache's namespace. Absent: default.", length: 1...253,
                pattern: .objectName),
            "priorityClassName": .text("The pods' PriorityClass.", length: 1...253, pattern: .objectName),
            "runtimeClassName": .text("The pods' RuntimeClass.", length: 1...253, pattern: .objectName),
            "tolerations": .list(
                "Taints that the pods tolerate beside those of placement.", of: SpecSchema.toleration, atMost: 32),
            "resources": .fields(
                "Of the pods' container. Absent: requests of 10m and 32Mi, and a limit of 128Mi.",
                ["requests": amounts("Amounts that are kept free for it."), "limits": amounts("Amounts that it may use at most.")]),
            "securityContext": .fields(
                "User and groups in place of 65532. Empty: the namespace's own policy chooses.",
                [
                    "runAsUser": .whole("The user, not root.", 1...2_147_483_647),
                    "runAsGroup": .whole("The first group.", 1...2_147_483_647),
                    "fsGroup": .whole("The group of volumes.", 1...2_147_483_647),
                    "supplementalGroups": .list("More groups.", of: .whole("", 1...2_147_483_647), atMost: 16),
                ]),
        ])

    private static func amounts(_ description: String) -> SchemaNode {
        SchemaNode(.map(values: SchemaNode(.quantity, ""), maximumCount: 16), description)
    }
}
