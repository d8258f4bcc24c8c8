internal import Checksum
internal import Crypto
internal import TextCoding

/// The checksum that the store gave of an object, and the same of bytes that come in order.
struct ObjectDigest {
    /// For people.
    let kind: String
    let expected: String
    private var digest: any RunningDigest

    /// Nil: there is none to compare bytes with that are read. The CRC-64 of a file is made of those of its chunks
    /// (`CachedFile.combinedChecksum`).
    init?(_ deciding: ObjectChecksums.Deciding?, bytes: UInt64) {
        switch deciding {
        case nil, .crc64: return nil
        case .crc64nvme(let expected):
            self.init("CRC-64/NVME", Hex.encode(expected), RunningCRC64NVME())
        case .sha256(let expected): self.init("SHA-256", expected.lowercased(), RunningHash(SHA256()))
        case .sha1(let expected): self.init("SHA-1", expected.lowercased(), RunningHash(Insecure.SHA1()))
        case .crc32c(let expected): self.init("CRC-32C", "\(expected)", RunningCRC32(update: mc_crc32c))
        case .crc32(let expected): self.init("CRC-32", "\(expected)", RunningCRC32(update: mc_crc32))
        case .parts(let parts):
            guard parts.has(bytes: bytes) else { return nil }
            let kind = "composite \(parts.kind.rawValue)"
            switch parts.kind {
            case .sha256: self.init(kind, parts.digest.lowercased(), RunningParts(parts.runs, SHA256()))
            case .sha1: self.init(kind, parts.digest.lowercased(), RunningParts(parts.runs, Insecure.SHA1()))
            }
        case .md5(let expected): self.init("MD5", expected.lowercased(), RunningHash(Insecure.MD5()))
        }
    }

    private init(_ kind: String, _ expected: String, _ digest: any RunningDigest) {
        self.kind = kind
        self.expected = expected
        self.digest = digest
    }

    mutating func take(_ bytes: UnsafeRawBufferPointer) { digest.take(bytes) }

    /// Of all bytes, as the store writes it.
    var found: String { digest.text }
}

extension PartDigest {
    /// Of an object that was uploaded in parts.
    /// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html>
    private static let mostParts = 10_000

    /// Whether the parts are an object of so many bytes: a manifest from a disk may say anything.
    fileprivate func has(bytes: UInt64) -> Bool {
        var sum: UInt64 = 0
        var count = 0
        for run in runs where run.count > 0 {
            // As many as there are, whatever they hold: each costs a digest.
            guard run.count <= Self.mostParts - count, run.bytes > 0 || bytes == 0 else { return false }
            count += run.count
            let (product, isTooMuch) = run.bytes.multipliedReportingOverflow(by: UInt64(run.count))
            guard !isTooMuch, product <= bytes - sum else { return false }
            sum += product
        }
        return sum == bytes
    }
}

/// A digest of bytes that come in order.
private protocol RunningDigest {
    mutating func take(_ bytes: UnsafeRawBufferPointer)
    var text: String { get }
}

private struct RunningHash<Hash: HashFunction>: RunningDigest {
    private var hash: Hash

    init(_ empty: Hash) { hash = empty }

    mutating func take(_ bytes: UnsafeRawBufferPointer) { hash.update(bufferPointer: bytes) }
    var text: String { Hex.encode(hash.finalize()) }
}

private struct RunningCRC64NVME: RunningDigest {
    private var crc: UInt64 = 0

    mutating func take(_ bytes: UnsafeRawBufferPointer) { crc = mc_crc64nvme(crc, bytes.baseAddress, bytes.count) }
    var text: String { Hex.encode(crc) }
}

private struct RunningCRC32: RunningDigest {
    private var crc: UInt32 = 0
    private let update: (UInt32, UnsafeRawPointer?, Int) -> UInt32

    init(update: @escaping (UInt32, UnsafeRawPointer?, Int) -> UInt32) { self.update = update }

    mutating func take(_ bytes: UnsafeRawBufferPointer) { crc = update(crc, bytes.baseAddress, bytes.count) }
    var text: String { "\(crc)" }
}

/// The digest of the parts' digests.
private struct RunningParts<Hash: HashFunction>: RunningDigest {
    private let runs: [PartDigest.Run]
    private let empty: Hash
    private var whole: Hash
    private var part: Hash
    /// Of the part at hand.
    private var left: UInt64 = 0
    private var run = 0
    /// Parts of the run that have ended.
    private var ended = 0

    init(_ runs: [PartDigest.Run], _ empty: Hash) {
        self.runs = runs.filter { $0.count > 0 }
        self.empty = empty
        whole = empty
        part = empty
        left = self.runs.first?.bytes ?? 0
        // Of an empty object.
        while run < self.runs.count, left == 0 { endPart() }
    }

    private mutating func endPart() {
        whole.update(data: Array(part.finalize()))
        part = empty
        ended += 1
        if ended == runs[run].count { (run, ended) = (run + 1, 0) }
        left = run < runs.count ? runs[run].bytes : 0
    }

    mutating func take(_ bytes: UnsafeRawBufferPointer) {
        var at = 0
        while at < bytes.count, run < runs.count {
            let count = Int(min(UInt64(bytes.count - at), left))
            part.update(bufferPointer: UnsafeRawBufferPointer(rebasing: bytes[at..<at + count]))
            at += count
            left -= UInt64(count)
            if left == 0 { endPart() }
        }
    }

    var text: String { Hex.encode(whole.finalize()) }
}
