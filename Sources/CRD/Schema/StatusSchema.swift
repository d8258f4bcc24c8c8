/// The rules of `status`. Only the operator writes it; the bounds limit the harm of its own mistakes. No word of it is
/// enumerated: a newer operator may write others than this definition knows.
enum StatusSchema {
    private static let count = Int64(0)...Int64.max

    static let node: SchemaNode = .fields(
        "The observed state, and the outcome of the operator's work.",
        [
            "observedGeneration": .whole("The generation of the spec that the rest speaks of.", count),
            "phase": .text("A summary for people; programs read conditions.", length: 0...64),
            "conditions": .list(
                "Ready, SourceResolved, Progressing, Degraded, CapacityExceeded and SourceChanged.", of: condition,
                atMost: 32,
                merged: .map(keys: ["type"])),
            "source": source, "nodes": nodes,
            "medium": .text("The medium of the copies.", length: 0...64),
            "seeders": .list(
                "The nodes that keep a pinned full copy.", of: .text("", length: 1...253), atMost: 50),
            "copies": .list(
                "Nodes that have bytes of the model, or had when their agent last answered.",
                of: .text("", length: 1...253), atMost: ModelCacheStatus.maximumCopies),
            "departed": departed, "progress": progress, "traffic": traffic,
        ])

    private static let departed: SchemaNode = .fields(
        "Nodes that left the cluster with a copy, or lost the label of agents.",
        [
            "names": .list(
                "The latest first.", of: .text("", length: 1...253), atMost: DepartedNodes.maximumNames),
            "leftOut": .whole("How many left before these.", count),
        ])

    /// The bounds of metav1.Condition.
    private static let condition: SchemaNode = .fields(
        "",
        [
            "type": .text("", length: 1...316, pattern: .conditionType),
            "status": .text("True, False or Unknown.", length: 1...64),
            "observedGeneration": .whole("", count),
            "lastTransitionTime": .text("When status last changed.", length: 1...64, format: "date-time"),
            "reason": .text("For programs.", length: 1...1024, pattern: .conditionReason),
            "message": .text("For people, with the remedy.", length: 0...32_768),
        ], required: ["type", "status", "lastTransitionTime", "reason", "message"])

    private static let source: SchemaNode = .fields(
        "The outcome of listing the source.",
        [
            "totalBytes": .whole("", count), "files": .whole("", count),
            "digest": .text("sha256 over the sorted keys, sizes and ETags.", length: 0...128),
            "size": .text("totalBytes for people.", length: 0...32),
            "fingerprint": .text("A hash of uri and include, as they were resolved.", length: 0...128),
            "region": .text("The nodes' region, where the spec names neither endpoint nor region.", length: 0...63),
        ])

    private static let nodes: SchemaNode = .fields(
        "How many nodes stand where.",
        [
            "desired": .whole("Nodes that should have a full copy.", count), "ready": .whole("", count),
            "warming": .whole("", count), "failed": .whole("", count),
            "summary": .text("ready/desired.", length: 0...32),
            "details": .list(
                "The nodes people want to see: failed ones first, then warming, pending and ready.", of: detail,
                atMost: NodesStatus.maximumDetails),
        ])

    private static let detail: SchemaNode = .fields(
        "",
        [
            "name": .text("", length: 1...253), "state": .text("", length: 1...64),
            "percent": .whole("Of this node's copy.", 0...100),
            "message": .text("Why it failed or what it waits for.", length: 0...NodeDetail.maximumMessageLength),
        ], required: ["name", "state", "percent"])

    private static let progress: SchemaNode = .fields(
        "Over all nodes that should have a full copy.",
        [
            "bytesCached": .whole("", count), "bytesTotal": .whole("", count), "bytesPerSecond": .whole("", count),
            "remainingSeconds": .whole("Absent while nothing moves.", count), "percent": .whole("", 0...100),
            "summary": .text("percent for people.", length: 0...32),
        ])

    private static let traffic: SchemaNode = .fields(
        "Bytes moved since the agents started.",
        [
            "originBytes": .whole("Read from the object store.", count),
            "peerBytes": .whole("Taken from other nodes.", count),
            "copiedBytes": .whole("Copied from other caches of the same nodes.", count),
        ])
}
