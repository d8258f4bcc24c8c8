import Foundation
import Synchronization
import TestSupport
import Testing

import ObjectStore
import RangeTransfer

/// Composite checksums of S3: what the parts' checksums say of the complete object.
@Suite struct PartChecksumTests {
    private static func number(_ bytes: [UInt8]) -> UInt32 { bytes.reduce(0) { $0 << 8 | UInt32($1) } }

    @Test(arguments: SeededRandom.seeds(3), [CompositeChecksum.Algorithm.crc32, .crc32C])
    func `the parts' CRCs give the complete object's`(seed: UInt64, algorithm: CompositeChecksum.Algorithm) {
        var random = SeededRandom(seed: seed)
        for _ in 0..<50 {
            let parts = (0..<Int.random(in: 1...6, using: &random)).map { _ in
                (0..<Int.random(in: 0...3000, using: &random)).map { _ in UInt8.random(in: 0...255, using: &random) }
            }
            let told = parts.map { CompositeChecksum.Part(size: UInt64($0.count), digest: algorithm.digest(of: $0)) }
            #expect(CompositeChecksum.crc(of: told, algorithm) == Self.number(algorithm.digest(of: parts.flatMap { $0 })), "seed \(seed)")
        }
    }

    @Test func `a length beyond 32 bits is combined too`() {
        // 2^33 zero bytes after "a", in one step and in two.
        let half = UInt64(1) << 32
        let zeros = CRC32.combined(0, 0, length: half, CRC32.ieee)
        #expect(zeros == 0)
        let once = CRC32.combined(0xe8b7_be43, 0, length: 2 * half, CRC32.ieee)
        let twice = CRC32.combined(CRC32.combined(0xe8b7_be43, 0, length: half, CRC32.ieee), 0, length: half, CRC32.ieee)
        #expect(once == twice && once != 0xe8b7_be43)
    }

    private static let pieces: [[UInt8]] = [[UInt8](repeating: 1, count: 700), [UInt8](repeating: 2, count: 700), [9, 9, 9]]
    private static let size = UInt64(pieces.reduce(0) { $0 + $1.count })

    /// A store that tells the parts in pages of two, by HEAD, or not at all.
    private static func described(
        _ algorithm: CompositeChecksum.Algorithm, attributes: Bool = true, heads: Bool = true, parts: [[UInt8]] = pieces, suffix: String = "-3"
    ) async throws -> (head: ObjectHead, requests: Int) {
        let digests = pieces.map { algorithm.digest(of: $0) }
        let whole = Data(algorithm.digest(of: digests.flatMap { $0 })).base64EncodedString() + suffix
        let responder = try Responder { request, line in
            func told(_ part: [UInt8]) -> String { Data(algorithm.digest(of: part)).base64EncodedString() }
            if request.target.contains("attributes=") {
                guard attributes else {
                    line.write(Fixture.answer("403 Forbidden", Fixture.xml("AccessDenied")))
                    return true
                }
                let first = Int(request.headers["x-amz-part-number-marker"] ?? "0") ?? 0
                let page = parts.enumerated().dropFirst(first).prefix(2).map { index, part in
                    "<Part><PartNumber>\(index + 1)</PartNumber><Size>\(part.count)</Size>"
                        + "<\(algorithm.element)>\(told(part))</\(algorithm.element)></Part>"
                }
                line.write(Fixture.answer("200 OK", "<R><ObjectParts>\(page.joined())</ObjectParts></R>"))
            } else if let mark = request.target.firstRange(of: "partNumber="), request.method == "HEAD" {
                let number = Int(request.target[mark.upperBound...]) ?? 0
                guard heads, parts.indices.contains(number - 1) else {
                    line.write("HTTP/1.1 416 No\r\nContent-Length: 0\r\n\r\n")
                    return true
                }
                let part = parts[number - 1]
                line.write(
                    "HTTP/1.1 206 Partial Content\r\nETag: \"t-3\"\r\n\(algorithm.header): \(told(part))\r\nContent-Length: \(part.count)\r\n\r\n")
            } else if request.method == "HEAD" {
                line.write(
                    "HTTP/1.1 200 OK\r\nETag: \"t-3\"\r\n\(algorithm.header): \(whole)\r\nx-amz-checksum-type: COMPOSITE\r\nContent-Length: \(size)\r\n\r\n")
            } else {
                line.write(Fixture.answer("400 Bad Request", Fixture.xml("InvalidRequest")))
            }
            return true
        }
        return (try await Fixture.client(responder.endpoint, scheme: "s3").describe("models/a"), responder.requests)
    }

    @Test(arguments: [(true, true), (false, true)], ["-3", ""])
    func `a composite CRC becomes one of the complete object`(ways: (Bool, Bool), suffix: String) async throws {
        let all = Self.pieces.flatMap { $0 }
        let plain = try await Self.described(.crc32, attributes: ways.0, heads: ways.1, suffix: suffix).head
        #expect(plain.crc32 == Self.number(CompositeChecksum.Algorithm.crc32.digest(of: all)) && plain.crc32C == nil)
        let castagnoli = try await Self.described(.crc32C, attributes: ways.0, heads: ways.1, suffix: suffix).head
        #expect(castagnoli.crc32C == Self.number(CompositeChecksum.Algorithm.crc32C.digest(of: all)) && castagnoli.crc32 == nil)
    }

    @Test func `a composite digest needs the sizes of the parts`() async throws {
        let head = try await Self.described(.sha256).head
        #expect(head.partSizes == [700, 700, 3] && head.composite?.digest.count == 32 && head.sha256 == nil)
    }

    @Test(arguments: [
        [[UInt8]](), [[UInt8](repeating: 1, count: 700)], [[UInt8](repeating: 1, count: 700), [UInt8](repeating: 3, count: 700), [9, 9, 9]],
        [[UInt8](repeating: 1, count: 1403)],
    ])
    func `parts that are not the object's prove nothing`(parts: [[UInt8]]) async throws {
        let head = try await Self.described(.crc32, parts: parts).head
        #expect(head.crc32 == nil && head.partSizes == nil)
    }

    @Test func `a store that knows no parts is asked twice and no more`() async throws {
        let (head, requests) = try await Self.described(.sha1, attributes: false, heads: false)
        #expect(head.partSizes == nil && head.sha1 == nil)
        // HEAD; GetObjectAttributes; HEAD of the first part and the GET that explains its refusal.
        #expect(requests == 4)
    }
}
