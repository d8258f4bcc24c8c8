internal import Glibc

/// A plan, with its objects as files in memory.
final class Oddities: Sendable {
    let plan: OddityPlan
    private let files: [String: OpenFile]
    private let shown: [String: String]

    init(_ plan: OddityPlan) {
        self.plan = plan
        var files: [String: OpenFile] = [:]
        var shown: [String: String] = [:]
        for object in plan.objects {
            guard let file = OpenFile(holding: Array(object.text.utf8)) else { continue }
            files[object.name] = file
            shown[object.name] = object.key
        }
        self.files = files
        self.shown = shown
    }

    func file(_ key: String) -> OpenFile? { files[key] }

    /// The object's key as a coded listing shows it; nil for the usual coding.
    func coded(_ key: String) -> String? { shown[key] }

    /// The bucket's objects and the plan's, in byte order.
    func merged(_ objects: [StoredObject], prefix: String) -> [StoredObject] {
        guard !files.isEmpty else { return objects }
        let odd = files.filter { $0.key.utf8.starts(with: prefix.utf8) }
        var all = objects.filter { odd[$0.key] == nil }
        all += odd.map { StoredObject(key: $0.key, state: $0.value.state) }
        return all.sorted { $0.key.utf8.lexicographicallyPrecedes($1.key.utf8) }
    }
}

/// The zlib form (RFC 1950) of bytes in stored blocks (RFC 1951, 3.2.4): what a proxy that packs sends, but larger.
enum StoredDeflate {
    static func pack(_ bytes: [UInt8]) -> [UInt8] {
        var out: [UInt8] = [0x78, 0x01]
        var low: UInt32 = 1, high: UInt32 = 0
        for byte in bytes {
            low = (low + UInt32(byte)) % 65_521
            high = (high + low) % 65_521
        }
        var rest = bytes[...]
        repeat {
            let block = rest.prefix(65_535)
            rest = rest.dropFirst(block.count)
            let count = UInt16(block.count)
            out += [
                rest.isEmpty ? 1 : 0, UInt8(count & 0xff), UInt8(count >> 8), UInt8(~count & 0xff), UInt8(~count >> 8),
            ]
            out += block
        } while !rest.isEmpty
        for half in [high, low] { out += [UInt8(half >> 8), UInt8(half & 0xff)] }
        return out
    }
}
