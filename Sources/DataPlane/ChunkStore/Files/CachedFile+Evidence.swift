internal import Checksum
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
    /// Errors: `.unreadable`.
    func compare(_ checksums: ObjectChecksums) throws(ChunkStoreError) -> Verification {
        guard var digest = ObjectDigest(checksums.deciding, bytes: size) else { return withoutReading(checksums) }
        try forEachBuffer(0..<size) { digest.take($0) }
        return outcome(digest)
    }

    /// Where ``ObjectDigest`` has nothing to compare with.
    func withoutReading(_ checksums: ObjectChecksums) -> Verification {
        guard let expected = checksums.crc64 else { return .unverifiable }
        return outcome("CRC-64", Hex.encode(expected), Hex.encode(combinedChecksum))
    }

    /// - Parameter digest: of all bytes of the file.
    func outcome(_ digest: ObjectDigest) -> Verification { outcome(digest.kind, digest.expected, digest.found) }

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
