internal import Crypto
internal import TextCoding

/// The first 16 bytes of a SHA-256. Of a manifest: over source, chunk size and every (key, size, ETag),
/// `mc_opened.generation`. Of a file: over source, chunk size, key, size and ETag, `mc_presence_header.generation`.
public struct Generation: Hashable, Sendable, CustomStringConvertible {
    /// 16 bytes.
    public let bytes: [UInt8]
    /// 32 hex digits.
    public var description: String { Hex.encode(bytes) }
}

/// The list of a model's files at one time, sorted by the bytes of the keys.
///
/// A listing of the source is a manifest whose files are numbered by place. A cache's files have numbers that stay
/// (``updated(to:)``): a file keeps its `index` while its key, size and ETag stand.
public struct Manifest: Hashable, Sendable {
    public let identity: SourceIdentity
    /// Sorted by the bytes of the keys: the place of a file here is the same on every node, its `index` is not.
    public let files: [ManifestFile]
    /// Number of this set of files in its cache: 1, then one more with each listing that changed something.
    public let set: UInt64
    /// The index of the next file that comes; greater than every index that was ever given in this cache.
    let nextIndex: UInt32
    /// Keys that were here in earlier sets and are not now, in the order in which they went.
    let retired: [String]
    /// More keys went than are remembered.
    let forgotRetired: Bool
    /// A multiple of 2 MiB, the huge page, so that no page belongs to two chunks.
    public let chunkBytes: UInt64
    public let generation: Generation
    /// `oss` or `s3`, as the source was named: for people alone, no part of identity or generation. Nil: not recorded.
    public let scheme: String?

    /// Sum of the sizes.
    public var totalBytes: UInt64 { files.reduce(0) { $0 + $1.size } }

    /// Checks every key and puts the files in order. `chunkBytes` nil: by total size.
    ///
    /// Errors: `.badKey`, `.keyCollision`; `.corrupt` when the chunk size is not a multiple of 2 MiB or the sizes
    /// overflow.
    public init(
        identity: SourceIdentity, files: [ManifestFile], chunkBytes: UInt64? = nil, scheme: String? = nil
    ) throws(ChunkStoreError) {
        var files = files.sorted { $0.key.utf8.lexicographicallyPrecedes($1.key.utf8) }
        for place in files.indices {
            files[place].index = UInt32(place)
            files[place].replacedInSet = 0
        }
        try self.init(
            identity: identity, numbered: files, chunkBytes: chunkBytes, scheme: scheme, set: 1,
            nextIndex: UInt32(files.count))
    }

    /// With the numbers that the files have. Errors: as above; `.corrupt` for numbers that cannot be.
    init(
        identity: SourceIdentity, numbered files: [ManifestFile], chunkBytes: UInt64?, scheme: String?, set: UInt64,
        nextIndex: UInt32,
        retired: [String] = [], forgotRetired: Bool = false
    ) throws(ChunkStoreError) {
        for file in files { try Self.check(file.key) }
        try Self.checkCollisions(files.map(\.key))
        var total: UInt64 = 0
        for file in files {
            let (sum, overflow) = total.addingReportingOverflow(file.size)
            // off_t is signed.
            if overflow || sum > UInt64(Int64.max) {
                throw .corrupt(path: file.key, why: "the sizes add up to more than a file offset can hold")
            }
            total = sum
        }
        let chunk = chunkBytes ?? Manifest.chunkBytes(forTotal: total)
        if chunk == 0 || chunk % Manifest.hugePageBytes != 0 || chunk > Manifest.largestChunkBytes {
            throw .corrupt(path: identity.prefix, why: "the chunk size \(chunk) is no multiple of 2 MiB up to 1 GiB")
        }
        self.identity = identity
        self.scheme = scheme
        self.files = files.sorted { $0.key.utf8.lexicographicallyPrecedes($1.key.utf8) }
        self.set = set
        self.nextIndex = nextIndex
        self.retired = retired
        self.forgotRetired = forgotRetired
        for key in retired { try Self.check(key) }
        let numbers = Set(files.map(\.index))
        if numbers.count != files.count || numbers.contains(where: { $0 >= nextIndex }) || set == 0
            || set > Manifest.highestSet || nextIndex > Manifest.highestIndex
            || files.contains(where: { $0.replacedInSet > set })
        {
            throw .corrupt(path: identity.prefix, why: "the numbers of its files cannot be")
        }
        self.chunkBytes = chunk
        generation = Manifest.generation(identity: identity, files: self.files, chunkBytes: chunk)
    }

    /// A pod may have written a manifest of its own into its volume: no number in it makes a sum overflow.
    static let largestChunkBytes: UInt64 = 1 << 30
    private static let highestSet: UInt64 = 1 << 48
    private static let highestIndex: UInt32 = 1 << 31

    /// The huge page and the step of every write.
    public static let hugePageBytes: UInt64 = 2 << 20

    /// 2 MiB below 32 GiB in total, 4 MiB below 256 GiB, 8 MiB above.
    ///
    /// A reader that wants 4 KiB waits for a chunk. An expert's slice of a tensor is 1 to 16 MiB, so with chunks of
    /// 16 MiB a token would need up to eighteen times the bytes that it uses. Large chunks save futex wakes and
    /// userfaults alone: one range request brings many chunks. 1 GiB is 512 chunks of 2 MiB, 664 GB are 79,000 of
    /// 8 MiB. A block that nodes fetch from each other is no larger than a chunk.
    public static func chunkBytes(forTotal total: UInt64) -> UInt64 {
        if total < 32 << 30 { return 2 << 20 }
        if total < 256 << 30 { return 4 << 20 }
        return 8 << 20
    }

    /// Identity of one file of this model, `mc_presence_header.generation`.
    func generation(of file: ManifestFile) -> Generation {
        var hash = SHA256()
        hash.update(field: "modelcache file 1")
        hash.update(field: identity.endpoint)
        hash.update(field: identity.bucket)
        hash.update(field: identity.prefix)
        hash.update(number: chunkBytes)
        hash.update(field: file.key)
        hash.update(number: file.size)
        hash.update(field: file.etag)
        return Generation(bytes: Array(hash.finalize().prefix(16)))
    }

    private static func generation(identity: SourceIdentity, files: [ManifestFile], chunkBytes: UInt64) -> Generation {
        var hash = SHA256()
        hash.update(field: "modelcache manifest 1")
        hash.update(field: identity.endpoint)
        hash.update(field: identity.bucket)
        hash.update(field: identity.prefix)
        hash.update(number: chunkBytes)
        for file in files {
            hash.update(field: file.key)
            hash.update(number: file.size)
            hash.update(field: file.etag)
        }
        return Generation(bytes: Array(hash.finalize().prefix(16)))
    }
}
