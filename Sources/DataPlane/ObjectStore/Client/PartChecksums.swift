internal import Checksum
internal import Crypto
internal import FoundationEssentials
internal import RangeTransfer

/// The checksum of a multipart object that S3 computed from its parts' checksums (type COMPOSITE, `<base64>-<parts>`).
///
/// It says nothing of the bytes until the parts' sizes are known:
/// https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity-upload.html
public struct CompositeChecksum: Sendable, Hashable {
    /// The best first; CRC-64/NVME is never composite.
    public enum Algorithm: String, Sendable, Hashable, CaseIterable {
        case sha256
        case sha1
        case crc32C = "crc32c"
        case crc32

        package var header: String { "x-amz-checksum-\(rawValue)" }
        /// In the answer to GetObjectAttributes.
        package var element: String { "Checksum\(rawValue.uppercased())" }

        var digestBytes: Int {
            switch self {
            case .sha256: 32
            case .sha1: 20
            case .crc32C, .crc32: 4
            }
        }

        package func digest(of bytes: [UInt8]) -> [UInt8] {
            switch self {
            case .sha256: return Array(SHA256.hash(data: bytes))
            case .sha1: return Array(Insecure.SHA1.hash(data: bytes))
            case .crc32C: return CRC32.bytes(mc_crc32c(0, bytes, bytes.count))
            case .crc32: return CRC32.bytes(mc_crc32(0, bytes, bytes.count))
            }
        }
    }

    /// One part of the object, in its order.
    public struct Part: Sendable, Hashable {
        /// Bytes.
        public let size: UInt64
        public let digest: [UInt8]

        public init(size: UInt64, digest: [UInt8]) {
            self.size = size
            self.digest = digest
        }
    }

    public let algorithm: Algorithm
    public let digest: [UInt8]
    /// How many parts the object has.
    public let count: Int

    /// https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html
    static let maximumParts = 10_000

    /// The best composite checksum of an answer to HEAD; nil: there is none.
    init?(_ head: ResponseHead) {
        for algorithm in Algorithm.allCases {
            guard let text = head[algorithm.header] else { continue }
            // Base64 has no hyphen.
            let words = text.split(separator: "-", omittingEmptySubsequences: false)
            let tagged = head.entityTag?.split(separator: "-", omittingEmptySubsequences: false) ?? []
            let number = words.count == 2 ? words[1] : tagged.count == 2 ? tagged[1] : ""
            guard words.count == 2 || head["x-amz-checksum-type"] == "COMPOSITE",
                let digest = Self.digest(words[0], algorithm), let count = ResponseHead.number(number),
                (1...UInt64(Self.maximumParts)).contains(count)
            else { continue }
            self.algorithm = algorithm
            self.digest = digest
            self.count = Int(count)
            return
        }
        return nil
    }

    static func digest(_ text: some StringProtocol, _ algorithm: Algorithm) -> [UInt8]? {
        guard let data = Data(base64Encoded: String(text)), data.count == algorithm.digestBytes else { return nil }
        return Array(data)
    }

    /// Whether the parts are those of which this is the checksum.
    func isOf(_ parts: [Part], objectSize: UInt64) -> Bool {
        var sum: UInt64 = 0
        for part in parts {
            let (next, overflow) = sum.addingReportingOverflow(part.size)
            guard !overflow else { return false }
            sum = next
        }
        return parts.count == count && sum == objectSize && algorithm.digest(of: parts.flatMap(\.digest)) == digest
    }

    /// The CRC of the complete object, out of those of the parts; nil for another algorithm.
    package static func crc(of parts: [Part], _ algorithm: Algorithm) -> UInt32? {
        let polynomial: UInt32
        switch algorithm {
        case .crc32C: polynomial = CRC32.castagnoli
        case .crc32: polynomial = CRC32.ieee
        case .sha256, .sha1: return nil
        }
        return parts.reduce(0) { crc, part in
            CRC32.combined(crc, part.digest.reduce(0) { $0 << 8 | UInt32($1) }, length: part.size, polynomial)
        }
    }
}

/// CRC-32 of two runs of bytes out of their own, as zlib's `crc32_combine` does: the first is multiplied by
/// x^(8 * length of the second) modulo the polynomial.
package enum CRC32 {
    /// In reflected form, as the next.
    package static let ieee: UInt32 = 0xedb8_8320
    package static let castagnoli: UInt32 = 0x82f6_3b78

    static func bytes(_ crc: UInt32) -> [UInt8] { (0..<4).map { UInt8(truncatingIfNeeded: crc >> (24 - 8 * $0)) } }

    /// - Parameter length: of the second run, bytes.
    package static func combined(_ first: UInt32, _ second: UInt32, length: UInt64, _ polynomial: UInt32) -> UInt32 {
        // x^8, then its powers by squaring.
        var power: UInt32 = 1 << 23
        var factor: UInt32 = 1 << 31
        var rest = length
        while rest > 0 {
            if rest & 1 == 1 { factor = product(factor, power, polynomial) }
            power = product(power, power, polynomial)
            rest >>= 1
        }
        return product(factor, first, polynomial) ^ second
    }

    /// Of two polynomials over GF(2), modulo the third; the highest bit is x^0.
    private static func product(_ left: UInt32, _ right: UInt32, _ polynomial: UInt32) -> UInt32 {
        var sum: UInt32 = 0
        var right = right
        for bit in stride(from: 31, through: 0, by: -1) {
            if left & (1 << UInt32(bit)) != 0 { sum ^= right }
            right = right & 1 == 1 ? right >> 1 ^ polynomial : right >> 1
        }
        return sum
    }
}

extension StoreClient {
    /// HEAD by part is one request for each: not for more than this many.
    private static let mostAskedSingly = 1000

    /// As ``head(_:)``. Where S3 has only a composite checksum, the parts' checksums are asked for too:
    /// GetObjectAttributes, or HEAD of each part where that is not allowed or not known to the store.
    ///
    /// Parts that cannot be asked for, or that do not fit the object, leave it without a checksum.
    public func describe(_ key: String) async throws(StoreError) -> ObjectHead {
        let head = try await head(key)
        guard !head.hasFullChecksum, let composite = head.composite else { return head }
        for ask in [listedParts, eachPart] {
            if let parts = await ask(head, composite), composite.isOf(parts, objectSize: head.size) {
                return head.checked(by: parts, composite)
            }
        }
        return head
    }

    private func listedParts(_ head: ObjectHead, _ composite: CompositeChecksum) async -> [CompositeChecksum.Part]? {
        var parts: [CompositeChecksum.Part] = []
        var marker = 0
        while parts.count < composite.count {
            var headers = ["x-amz-object-attributes": "ObjectParts", "x-amz-max-parts": "1000"]
            if marker > 0 { headers["x-amz-part-number-marker"] = "\(marker)" }
            guard
                let answer = try? await exchange(
                    "GET", key: head.key, query: [.init("attributes")], headers: headers, limit: 1 << 20),
                let list = AnswerXML.parse(answer.body)?.children.first(where: { $0.name == "ObjectParts" })
            else { return nil }
            let page = list.children.filter { $0.name == "Part" }
            for element in page {
                guard let size = ResponseHead.number(element.child("Size") ?? "x"),
                    let digest = CompositeChecksum.digest(
                        element.child(composite.algorithm.element) ?? "", composite.algorithm),
                    element.child("PartNumber") == "\(parts.count + 1)", parts.count < composite.count
                else { return nil }
                parts.append(CompositeChecksum.Part(size: size, digest: digest))
            }
            if page.isEmpty { return nil }
            marker = parts.count
        }
        return parts
    }

    private func eachPart(_ head: ObjectHead, _ composite: CompositeChecksum) async -> [CompositeChecksum.Part]? {
        guard composite.count <= Self.mostAskedSingly else { return nil }
        // The first tells whether the store knows parts at all.
        guard let first = await part(1, of: head, composite) else { return nil }
        let others = await concurrently(Array(1..<composite.count)) { await self.part($0 + 1, of: head, composite) }
        let parts = [first] + others.compactMap { $0 }
        return parts.count == composite.count ? parts : nil
    }

    private func part(
        _ number: Int, of head: ObjectHead, _ composite: CompositeChecksum
    ) async -> CompositeChecksum.Part? {
        guard
            let answer = try? await exchange(
                "HEAD", key: head.key, query: [.init("partNumber", "\(number)")],
                headers: ["x-amz-checksum-mode": "ENABLED"], limit: 1 << 16),
            let size = answer.head.contentLength, answer.head.entityTag ?? "" == head.etag,
            let digest = CompositeChecksum.digest(answer.head[composite.algorithm.header] ?? "", composite.algorithm)
        else { return nil }
        return CompositeChecksum.Part(size: size, digest: digest)
    }
}
