public import CRD

extension ModelCacheStatus {
    /// The status that says what `picture` shows. Times and whatever the picture does not know come from `before`.
    public init(_ picture: Picture, before: ModelCacheStatus?, generation: Int64, now: WallTime) {
        self.init(observedGeneration: generation, phase: picture.phase)
        conditions = picture.conditions.map { draft in
            draft.condition(after: before?.condition(draft.type), generation: generation, now: now)
        }
        // Another operator's word stands until a pin, or the last node, settles it.
        if picture.change == nil, !picture.isChangeSettled, let told = before?.condition(.sourceChanged) {
            conditions.append(told)
        }
        source = picture.facts.map { facts in
            SourceStatus(
                totalBytes: facts.totalBytes, files: facts.files, digest: facts.digest,
                size: Words.bytes(facts.totalBytes),
                fingerprint: picture.fingerprint, region: picture.region)
        }
        medium = picture.medium.map { $0 == .disk ? .disk : .memory }
        seeders = picture.seeders
        copies = picture.copies
        departed = picture.departed
        guard picture.facts != nil, picture.ending == nil else {
            // A deletion removes what the counts are about; the last ones tell what is going.
            nodes = before?.nodes
            progress = before?.progress
            traffic = before?.traffic
            return
        }
        nodes = NodesStatus(
            desired: picture.desired.count, ready: picture.ready.count, warming: picture.warming.count,
            failed: picture.failures.count, summary: "\(picture.ready.count)/\(picture.desired.count)",
            details: picture.details)
        let percent = picture.percent
        progress = ProgressStatus(
            bytesCached: picture.bytesCached, bytesTotal: picture.bytesTotal, bytesPerSecond: picture.bytesPerSecond,
            remainingSeconds: picture.remainingSeconds, percent: percent, summary: "\(percent)%")
        // Agents count from their start: a restart must not seem to give bytes back.
        traffic = TrafficStatus(
            originBytes: max(picture.originBytes, before?.traffic?.originBytes ?? 0),
            peerBytes: max(picture.peerBytes, before?.traffic?.peerBytes ?? 0),
            copiedBytes: max(picture.copiedBytes, before?.traffic?.copiedBytes ?? 0))
    }
}

extension Picture {
    /// Rounded down, and 100 only when every node is ready: verification comes after the last byte.
    var percent: Int {
        if ready.count == desired.count { return desired.isEmpty ? 0 : 100 }
        guard bytesTotal > 0 else { return 0 }
        return min(99, Int(Double(bytesCached) / Double(bytesTotal) * 100))
    }

    var details: [NodeDetail] {
        let total = facts?.totalBytes ?? 0
        func percent(_ node: String) -> Int {
            guard total > 0 else { return 0 }
            return min(99, Int(Double(cachedOn[node] ?? 0) / Double(total) * 100))
        }
        func pending(_ node: String, _ message: String?) -> NodeDetail {
            NodeDetail(name: node, state: .pending, percent: percent(node), message: message)
        }
        var details = failures.map { failure in
            NodeDetail(
                name: failure.node, state: .failed, percent: percent(failure.node),
                message: Words.line("\(failure.reason): \(failure.message)", limit: NodeDetail.maximumMessageLength))
        }
        details += warming.map { NodeDetail(name: $0, state: .warming, percent: percent($0)) }
        details += shortages.map {
            pending($0.node, "needs \(Words.bytes($0.needed)), has \(Words.bytes($0.free)) free")
        }
        details += unreachable.map { pending($0, "its agent cannot be reached") }
        details += waitingForAgent.map { pending($0, "no agent answers there") }
        let held = Set(held)
        details += queued.map { pending($0, held.contains($0) ? "its Job is suspended and waits for its queue" : nil) }
        details += ready.map { NodeDetail(name: $0, state: .ready, percent: 100) }
        return NodesStatus.details(choosing: details)
    }
}
