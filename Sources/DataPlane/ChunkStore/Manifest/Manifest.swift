internal import Crypto

/// The first 16 bytes of SHA-256 over identity, chunk size and every (key, size, ETag): `mc_opened.generation`.
public struct Generation: Hashable, Sendable, CustomStringConvertible {
    /// 16 bytes.
    public let bytes: [UInt8]
    /// 32 hex digits.
    public var description: String { Hex.encode(bytes) }
}

/// The list of a model's files, fixed for one generation, sorted by the bytes of the keys.
public struct Manifest: Hashable, Sendable {
    public let identity: SourceIdentity
    public let files: [ManifestFile]
    /// A multiple of 2 MiB, the huge page, so that no page belongs to two chunks.
    public let chunkBytes: UInt64
    public let generation: Generation
    /// `oss` or `s3`, as the source was named: for people alone, no part of identity or generation. Nil: not recorded.
    public let scheme: String?

    /// Sum of the sizes.
    public var totalBytes: UInt64 { files.reduce(0) { $0 + $1.size } }

    /// Checks every key and puts the files in order. `chunkBytes` nil: by total size.
    ///
    /// Errors: `.badKey`, `.keyCollision`; `.corrupt` when the chunk size is not a multiple of 2 MiB or the sizes overflow.
    public init(
        identity: SourceIdentity, files: [ManifestFile], chunkBytes: UInt64? = nil, scheme: String? = nil
    ) throws(ChunkStoreError) {
        for file in files { try KeyRules.check(file.key) }
        try KeyRules.checkCollisions(files.map(\.key))
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
        if chunk == 0 || chunk % Manifest.pieceBytes != 0 {
            throw .corrupt(path: identity.prefix, why: "the chunk size \(chunk) is not a multiple of 2 MiB")
        }
        self.identity = identity
        self.scheme = scheme
        self.files = files.sorted { $0.key.utf8.lexicographicallyPrecedes($1.key.utf8) }
        self.chunkBytes = chunk
        generation = Manifest.generation(identity: identity, files: self.files, chunkBytes: chunk)
    }

    /// The huge page and the step of every write.
    public static let pieceBytes: UInt64 = 2 << 20

    /// 4 MiB below 1 GiB in total, 8 MiB below 16 GiB, 16 MiB above.
    ///
    /// Small chunks show a small model's bytes early and cost a reader that wants 4 KiB little; large ones save requests, which
    /// cost both ends a tenth of the bytes' price at 4 MiB and loopback speed, and keep the number of futex wakes and userfaults
    /// down: 1 GiB is 256 chunks of 4 MiB, 16 GiB 2,048 of 8 MiB, 664 GB 39,600 of 16 MiB. A chunk of 16 MiB is 1.3 ms of a
    /// wire of 100 Gbit/s and 13 ms of one of 10 Gbit/s.
    public static func chunkBytes(forTotal total: UInt64) -> UInt64 {
        if total < 1 << 30 { return 4 << 20 }
        if total < 16 << 30 { return 8 << 20 }
        return 16 << 20
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
