internal import Checksum
internal import Crypto
internal import TextCoding

/// How the bytes of a file are held against what the store says of them.
extension CachedFile {
    /// CRC-64 of all bytes out of the chunks' own; nothing is read.
    var combinedChecksum: UInt64 {
        var crc: UInt64 = 0
        for chunk in 0..<chunkCount {
            let range = range(ofChunk: chunk)
            crc = mc_crc64_combine(crc, map.checksum(chunk), range.upperBound - range.lowerBound)
        }
        return crc
    }

    /// By the checksum that decides (``ObjectChecksums/deciding``). All but CRC-64 read the file.
    ///
    /// Errors: `.unreadable`; `.stale`: `stop` came meanwhile.
    func compare(_ checksums: ObjectChecksums, until stop: WorkStop) throws(ChunkStoreError) -> Verification {
        switch checksums.deciding {
        case .crc64(let expected): return outcome("CRC-64", Hex.encode(expected), Hex.encode(combinedChecksum))
        case .crc64nvme(let expected):
            var crc: UInt64 = 0
            try forEachBuffer(0..<size, until: stop) { crc = mc_crc64nvme(crc, $0.baseAddress, $0.count) }
            return outcome("CRC-64/NVME", Hex.encode(expected), Hex.encode(crc))
        case .sha256(let expected): return try compare("SHA-256", expected, SHA256(), stop)
        case .sha1(let expected): return try compare("SHA-1", expected, Insecure.SHA1(), stop)
        case .crc32c(let expected):
            var crc: UInt32 = 0
            try forEachBuffer(0..<size, until: stop) { crc = mc_crc32c(crc, $0.baseAddress, $0.count) }
            return outcome("CRC-32C", "\(expected)", "\(crc)")
        case .crc32(let expected):
            var crc: UInt32 = 0
            try forEachBuffer(0..<size, until: stop) { crc = mc_crc32(crc, $0.baseAddress, $0.count) }
            return outcome("CRC-32", "\(expected)", "\(crc)")
        case .parts(let parts):
            return switch parts.kind {
            case .sha256: try compare(parts, SHA256(), stop)
            case .sha1: try compare(parts, Insecure.SHA1(), stop)
            }
        case .md5(let expected): return try compare("MD5", expected, Insecure.MD5(), stop)
        case nil: return .unverifiable
        }
    }

    private func compare(
        _ kind: String, _ expected: String, _ empty: some HashFunction, _ stop: WorkStop
    ) throws(ChunkStoreError) -> Verification {
        var hash = empty
        try forEachBuffer(0..<size, until: stop) { hash.update(bufferPointer: $0) }
        return outcome(kind, expected.lowercased(), Hex.encode(hash.finalize()))
    }

    /// The digest of the parts' digests.
    private func compare(
        _ parts: PartDigest, _ empty: some HashFunction, _ stop: WorkStop
    ) throws(ChunkStoreError) -> Verification {
        var whole = empty
        var offset: UInt64 = 0
        for run in parts.runs {
            for _ in 0..<max(0, run.count) {
                // A manifest from a disk may say anything.
                guard run.bytes > 0 || size == 0, run.bytes <= size - offset else { return .unverifiable }
                var hash = empty
                try forEachBuffer(offset..<offset + run.bytes, until: stop) { hash.update(bufferPointer: $0) }
                whole.update(data: Array(hash.finalize()))
                offset += run.bytes
            }
        }
        guard offset == size else { return .unverifiable }
        return outcome(
            "composite \(parts.kind.rawValue)", parts.digest.lowercased(), Hex.encode(whole.finalize()))
    }

    private func outcome(_ kind: String, _ expected: String, _ got: String) -> Verification {
        if expected == got { return .verified }
        return .mismatch("\(key): its \(kind) is \(got), the store says \(expected)")
    }
}

/// The step that follows when an entity tag, the only evidence, does not match. A pure value: it remembers the
/// downloads.
///
/// An entity tag is a checksum by habit alone. One download that differs from it proves nothing, so it is repeated with
/// the readers undisturbed. Two that agree prove the tag to be no checksum; two that differ prove that bytes go wrong
/// on the way.
struct TagEvidence: Sendable, Hashable {
    enum Step: Sendable, Hashable {
        /// Fetch the file once more; what readers see stays.
        case fetchAgain
        /// Publish: the tag is no checksum.
        case unverifiable
        /// Readers saw wrong bytes.
        case wrongBytes
    }

    /// CRC-64 of the last download that did not match.
    private var last: UInt64?

    /// A download with this CRC-64 differs from the tag.
    mutating func differed(_ checksum: UInt64) -> Step {
        guard let before = last else {
            last = checksum
            return .fetchAgain
        }
        last = checksum
        return before == checksum ? .unverifiable : .wrongBytes
    }

    /// A download with this CRC-64 matches the tag: whether an earlier one, which readers may have seen, was another.
    mutating func matched(_ checksum: UInt64) -> Bool {
        defer { last = nil }
        return last.map { $0 != checksum } ?? false
    }
}
