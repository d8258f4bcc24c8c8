internal import Checksum
internal import Crypto
internal import NIOCore

/// The checksums that S3 keeps of an object, full or of its parts.
///
/// https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity-upload.html
struct PartChecksums {
    let file: OpenFile
    /// Nil: uploaded at once.
    let partBytes: Int64?

    var size: Int64 { file.state.size }
    var partCount: Int64 { partBytes.map { max(1, (size + $0 - 1) / $0) } ?? 1 }

    /// The bytes of a part, counted from 1; nil when there is none of that number.
    func part(_ number: Int64) -> Range<Int64>? {
        guard (1...partCount).contains(number) else { return nil }
        guard let partBytes else { return 0..<size }
        return (number - 1) * partBytes..<min(size, number * partBytes)
    }

    /// The tag of an upload in parts: the MD5 of the parts' MD5s, and their number.
    var entityTag: String {
        var all: [UInt8] = []
        for number in 1...partCount { all += Array(Insecure.MD5.hash(data: bytes(number))) }
        return Insecure.MD5.hash(data: all).map { String($0 >> 4, radix: 16) + String($0 & 15, radix: 16) }.joined()
            + "-\(partCount)"
    }

    /// Header value and type of the object's checksum. Nil for an unknown name.
    func object(_ algorithm: String) -> (value: String, type: String)? {
        if partBytes == nil || algorithm == "CRC64NVME" {
            return Self.checksum(algorithm, read(0..<size)).map { (Base64.encode($0), "FULL_OBJECT") }
        }
        var all: [UInt8] = []
        for number in 1...partCount {
            guard let sum = Self.checksum(algorithm, bytes(number)) else { return nil }
            all += sum
        }
        return Self.checksum(algorithm, all).map { ("\(Base64.encode($0))-\(partCount)", "COMPOSITE") }
    }

    func part(_ number: Int64, _ algorithm: String) -> String? {
        Self.checksum(algorithm, bytes(number)).map { Base64.encode($0) }
    }

    private func bytes(_ number: Int64) -> [UInt8] { part(number).map { read($0) } ?? [] }

    /// Objects with odd checksums are small.
    func read(_ range: Range<Int64>) -> [UInt8] {
        var buffer = ByteBuffer()
        file.read(at: range.lowerBound, count: range.count, into: &buffer)
        return Array(buffer.readableBytesView)
    }

    private static func checksum(_ algorithm: String, _ bytes: [UInt8]) -> [UInt8]? {
        func bigEndian(_ value: some FixedWidthInteger) -> [UInt8] {
            withUnsafeBytes(of: value.bigEndian) { Array($0) }
        }
        return switch algorithm {
        case "CRC64NVME": bigEndian(bytes.withUnsafeBytes { mc_crc64nvme(0, $0.baseAddress, $0.count) })
        case "CRC32": bigEndian(bytes.withUnsafeBytes { mc_crc32(0, $0.baseAddress, $0.count) })
        case "CRC32C": bigEndian(bytes.withUnsafeBytes { mc_crc32c(0, $0.baseAddress, $0.count) })
        case "SHA1": Array(Insecure.SHA1.hash(data: bytes))
        case "SHA256": Array(SHA256.hash(data: bytes))
        default: nil
        }
    }
}
