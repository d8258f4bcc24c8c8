/// The rules of `status`. The operator alone writes it; the bounds keep a mistake of its own small.
enum StatusSchema {
    private static let count = Int64(0)...Int64.max

    static let node: SchemaNode = .fields(
        "What the operator found and did.",
        [
            "observedGeneration": .whole("The generation of the spec that the rest speaks of.", count),
            "phase": .choice(Phase.self, "A summary for people; programs read conditions."),
            "conditions": .list(
                "Ready, SourceResolved, Progressing, Degraded and CapacityExceeded.", of: condition, atMost: 32,
                merged: .map(keys: ["type"])),
            "source": source, "nodes": nodes,
            "medium": .choice(Cache.Medium.self, "What the copies are kept on."),
            "seeders": .list(
                "The nodes that keep a pinned full copy.", of: .text("", length: 1...253), atMost: 50),
            "progress": progress, "traffic": traffic,
        ])

    /// The bounds of metav1.Condition.
    private static let condition: SchemaNode = .fields(
        "",
        [
            "type": .text("", length: 1...316, pattern: .conditionType),
            "status": .choice(Condition.Status.self, "True, False or Unknown."),
            "observedGeneration": .whole("", count),
            "lastTransitionTime": .text("When status last changed.", length: 1...64, format: "date-time"),
            "reason": .text("For programs.", length: 1...1024, pattern: .conditionReason),
            "message": .text("For people, with the remedy.", length: 0...32_768),
        ], required: ["type", "status", "lastTransitionTime", "reason", "message"])

    private static let source: SchemaNode = .fields(
        "What listing the source gave.",
        [
            "totalBytes": .whole("", count), "files": .whole("", count),
            "digest": .text("sha256 over the sorted keys, sizes and ETags.", length: 0...128),
            "size": .text("totalBytes for people.", length: 0...32),
            "resolvedSpecHash": .text("A hash of the source that was resolved.", length: 0...128),
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
            "name": .text("", length: 1...253), "state": .choice(NodeDetail.State.self, ""),
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
        ])
}
