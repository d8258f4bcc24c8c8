/// A cache as a mounter knows it: never a path, only one of two folders and a plain name in it.
package struct CachePlace: Hashable, Sendable, CustomStringConvertible {
    package let kind: CacheDirectory.Kind
    /// At most 255 ASCII letters, digits, `.`, `_` and `-`, the first of them a letter, a digit or `_`: what
    /// ``SourceIdentity/directoryName`` and the API server's uids are made of.
    package let name: String

    /// Nil: no cache has such a name.
    package init?(_ kind: CacheDirectory.Kind, _ name: String) {
        guard CachePlace.isPlain(Array(name.utf8)) else { return nil }
        self.kind = kind
        self.name = name
    }

    /// Of a cache's directory. Nil: it is none.
    init?(directory: String) {
        let parts = directory.split(separator: "/").suffix(2)
        guard parts.count == 2, let first = parts.first, let last = parts.last,
            let kind = CacheDirectory.Kind(rawValue: String(first))
        else { return nil }
        self.init(kind, String(last))
    }

    /// Below the root.
    package var description: String { "\(kind.rawValue)/\(name)" }

    fileprivate static func isPlain(_ bytes: [UInt8]) -> Bool {
        guard let first = bytes.first, bytes.count <= 255 else { return false }
        func isWord(_ byte: UInt8) -> Bool {
            switch byte {
            case 0x30...0x39, 0x41...0x5a, 0x61...0x7a, 0x5f: true
            default: false
            }
        }
        return isWord(first) && bytes.allSatisfy { isWord($0) || $0 == 0x2d || $0 == 0x2e }
    }
}

/// All that an agent may ask of a mounter. One packet of ``length`` bytes:
///
/// | bytes | content |
/// | --- | --- |
/// | 0 | version, 1 |
/// | 1 | 1 mount, 2 enlarge, 3 unmount, 4 fault device |
/// | 2 | folder: 1 models, 2 caches |
/// | 3 | 1: with huge pages |
/// | 4 to 11 | size in bytes, little endian |
/// | 12 to 267 | name, then zeros |
///
/// Fields that a request does not use are zero. Each request has one encoding, and every other packet is refused.
/// The response is an Int32, little endian, 0 or -errno, and a descriptor with it for a fault device.
package enum MountRequest: Hashable, Sendable, CustomStringConvertible {
    /// A tmpfs on the cache's directory, which is there and has none.
    case mount(CachePlace, bytes: UInt64, hugePages: Bool)
    /// A larger limit for the cache's tmpfs; a smaller one changes nothing.
    case enlarge(CachePlace, bytes: UInt64)
    case unmount(CachePlace)
    /// `/dev/userfaultfd`, opened.
    case faultDevice

    package static let length = 268
    package static let responseLength = 4
    /// More than any machine has.
    package static let maximumBytes: UInt64 = 1 << 61
    private static let nameAt = 12

    /// For logs.
    package var description: String {
        switch self {
        case .mount(let place, let bytes, _): "mount \(place) of \(bytes) bytes"
        case .enlarge(let place, let bytes): "enlarge \(place) to \(bytes) bytes"
        case .unmount(let place): "unmount \(place)"
        case .faultDevice: "fault device"
        }
    }

    package var encoded: [UInt8] {
        var packet = [UInt8](repeating: 0, count: MountRequest.length)
        packet[0] = 1
        func write(_ place: CachePlace, _ bytes: UInt64 = 0) {
            packet[2] = place.kind == .models ? 1 : 2
            for i in 0..<8 { packet[4 + i] = UInt8(truncatingIfNeeded: bytes >> UInt64(8 * i)) }
            for (i, byte) in place.name.utf8.enumerated() { packet[MountRequest.nameAt + i] = byte }
        }
        switch self {
        case .mount(let place, let bytes, let hugePages):
            packet[1] = 1
            packet[3] = hugePages ? 1 : 0
            write(place, bytes)
        case .enlarge(let place, let bytes):
            packet[1] = 2
            write(place, bytes)
        case .unmount(let place):
            packet[1] = 3
            write(place)
        case .faultDevice: packet[1] = 4
        }
        return packet
    }

    /// Nil: not the encoding of a request.
    package init?(decoding packet: [UInt8]) {
        guard packet.count == MountRequest.length, packet[0] == 1, packet[3] <= 1 else { return nil }
        let bytes = (0..<8).reduce(UInt64(0)) { $0 | UInt64(packet[4 + $1]) << UInt64(8 * $1) }
        let hasSize = (1...MountRequest.maximumBytes).contains(bytes)
        let name = packet[MountRequest.nameAt...].prefix { $0 != 0 }
        let kind: CacheDirectory.Kind? =
            switch packet[2] {
            case 1: .models
            case 2: .caches
            default: nil
            }
        // No name decodes to another text: plain names are ASCII.
        let place = kind.flatMap { CachePlace($0, String(decoding: name, as: UTF8.self)) }
        switch (packet[1], place) {
        case (1, let place?) where hasSize: self = .mount(place, bytes: bytes, hugePages: packet[3] == 1)
        case (2, let place?) where hasSize: self = .enlarge(place, bytes: bytes)
        case (3, let place?): self = .unmount(place)
        case (4, nil): self = .faultDevice
        default: return nil
        }
        // Bytes that no field accounts for.
        guard encoded == packet else { return nil }
    }
}
