internal import AgentAPI
internal import ChunkStore
internal import ObjectStore

/// One prepared cache as the registry holds it.
struct PreparedCache {
    let uid: String
    let volume: CacheVolume
    var definition: CacheDefinition
    var identity: SourceIdentity
    /// Nil until the first opening and after a drop.
    var model: OpenModel?
    /// Why the last opening failed; nil from the next attempt on.
    var failure: CacheReport.Failure?
    /// Of models that were dropped.
    var pastOriginBytes: Int64 = 0
    var pastPeerBytes: Int64 = 0
    var pastCopiedBytes: Int64 = 0

    /// `namespace/name`
    var fullName: String { "\(definition.namespace)/\(definition.name)" }

    /// The bytes that a pinned cache was promised, or that an unpinned cache holds.
    var reservedBytes: UInt64 {
        let listed = model?.cached.manifest.totalBytes ?? 0
        return definition.pinned ? max(UInt64(clamping: definition.sizeBytes), listed) : listed
    }

    /// For `EvictionPolicy`.
    var usage: ModelUsage {
        let own = model?.cached.usage
        return ModelUsage(
            id: uid, bytes: reservedBytes, lastUsed: own?.lastUsed ?? 0, inUse: own?.inUse ?? 0,
            pinned: definition.pinned)
    }

    var state: CacheReport.State {
        guard let model else { return failure == nil ? .prepared : .failed }
        let files = model.cached.files
        if files.allSatisfy({ $0.state == .complete }) { return .ready }
        if model.isFilling { return .filling }
        return failure != nil || files.contains { $0.state == .failed } ? .failed : .filling
    }

    var report: CacheReport {
        let state = state
        let status = model?.status(now: 0)
        let manifest = model?.cached.manifest
        let rate = Int64(status?.bytesPerSecond ?? 0)
        var error = state == .failed ? failure : nil
        if error == nil, state == .failed, let model {
            error = CacheReport.Failure(
                code: (model.failureCode ?? .storeError).rawValue, message: status?.message ?? "the fill ended early")
        }
        return CacheReport(
            uid: uid, namespace: definition.namespace, name: definition.name, source: definition.source,
            medium: definition.medium, state: state, digest: manifest.map { SourceDigest(of: $0).description },
            files: manifest?.files.count ?? 0,
            bytesTotal: manifest.map { Int64(clamping: $0.totalBytes) } ?? definition.sizeBytes,
            bytesCached: status?.presentBytes ?? 0, bytesPerSecond: rate,
            remainingSeconds: status?.remainingSeconds.map { Int64($0.rounded(.up)) },
            originBytes: pastOriginBytes + (status?.originBytes ?? 0),
            peerBytes: pastPeerBytes + (status?.peerBytes ?? 0),
            copiedBytes: pastCopiedBytes + (status?.copiedBytes ?? 0),
            originBytesPerSecond: Int64(status?.originBytesPerSecond ?? 0), peers: status?.peers ?? [],
            pinned: definition.pinned,
            users: status?.users ?? 0, lastUsed: usage.isEvictable ? usage.lastUsed : nil, error: error,
            callersDigest: definition.callers?.digest)
    }

    func status(now: Int64) -> ModelStatus {
        var status =
            model?.status(now: now)
            ?? ModelStatus(
                id: uid, source: definition.source.uri, endpoint: identity.endpoint, directory: volume.directory,
                phase: failure == nil ? .prepared : .failed, message: failure?.message, files: 0, completeFiles: 0,
                totalBytes: definition.sizeBytes, presentBytes: 0, bytesPerSecond: 0, remainingSeconds: nil,
                originBytes: 0, peerBytes: 0, copiedBytes: 0, servedBytes: 0, controlBytes: 0, wrongPeerBlocks: 0,
                requests: 0, retries: 0, throttled: 0, refilledFiles: 0, transfersInFlight: 0, users: 0, pinned: false,
                idleSeconds: 0)
        status.namespace = definition.namespace
        status.name = definition.name
        status.pinned = definition.pinned
        status.originBytes += pastOriginBytes
        status.peerBytes += pastPeerBytes
        status.copiedBytes = pastCopiedBytes + (status.copiedBytes ?? 0)
        return status
    }
}
