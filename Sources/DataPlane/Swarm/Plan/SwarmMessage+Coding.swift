/// Bytes of the control messages. Numbers are LEB128 varints unless said otherwise. A small swarm's messages have some
/// ten bytes, and each node sends several a second to each neighbour, so every byte counts.
///
///     map    = head, gossip, load, arriving count, arriving list, capacity,
///              bitmap (capacity/8 bytes, rounded up, bit 0 first)
///     delta  = head, counts, gossip, load, held list, arriving list, (with flag 2: lost count, lost list),
///              (with flag 8: number of blocks held), (in a delta that hands blocks over: count, list)
///     head   = one byte. High four bits: 2 a delta, 3 a map, 4 a delta that hands blocks over. Low four, flags:
///              1 holds everything, 2 lost list, 4 the gossip's full age, 8 number held
///     counts = two of four bits in one byte, held in the high one; 15: the full number follows as a varint,
///              held's first
///     gossip = watermark, counts of the bytes of `beyond` and `claimed`, those bytes (bit 0 first, trailing zero
///              bytes left out), (with flag 4: full age)
///     list   = differences to the number before, of the first to the watermark, each zigzag-coded
///
/// A message has no trailer: the caller owns the bytes after it on a connection (``init(readingFrom:blockCount:)``).
extension SwarmMap {
    public func encoded() -> [UInt8] {
        var out = [MessageHead(kind: .map, hasFullAge: gossip.fullAge != nil).byte]
        gossip.encode(into: &out)
        Varint.append(load, to: &out)
        Varint.append(arriving.count, to: &out)
        Varint.append(list: arriving, from: gossip.watermark, to: &out)
        Varint.append(blocks.capacity, to: &out)
        let bytes = (blocks.capacity + 7) / 8
        for index in 0..<bytes {
            out.append(UInt8(truncatingIfNeeded: blocks.words[index / 8] >> UInt64(index % 8 * 8)))
        }
        return out
    }

    /// Takes a complete map of exactly `blockCount` blocks from the front. nil for anything else, since another machine
    /// sent the bytes.
    package init?(readingFrom bytes: inout ArraySlice<UInt8>, blockCount: Int) {
        var input = Varint.Reader(bytes)
        guard let byte = input.byte(), let head = MessageHead(byte), head.kind == .map,
            let gossip = SwarmGossip(reading: &input, limit: blockCount, hasFullAge: head.hasFullAge),
            let load = input.number(), let count = input.number(),
            let arriving = input.list(count, from: gossip.watermark, limit: blockCount),
            let capacity = input.number(), capacity == blockCount, let bitmap = input.take((capacity + 7) / 8)
        else { return nil }
        var words = [UInt64](repeating: 0, count: (capacity + 63) / 64)
        for (index, byte) in bitmap.enumerated() { words[index / 8] |= UInt64(byte) << UInt64(index % 8 * 8) }
        self.init(blocks: BlockSet(capacity: capacity, words: words), arriving: arriving, load: load, gossip: gossip)
        bytes = input.rest
    }

    /// nil unless the bytes are one complete map and nothing else.
    public init?(decoding bytes: [UInt8], blockCount: Int) {
        var rest = bytes[...]
        self.init(readingFrom: &rest, blockCount: blockCount)
        guard rest.isEmpty else { return nil }
    }
}

extension SwarmDelta {
    public func encoded() -> [UInt8] {
        var out = [
            MessageHead(
                kind: handed.isEmpty ? .delta : .handover, isFull: isFull, hasLost: !lost.isEmpty,
                hasFullAge: gossip.fullAge != nil, hasHeldCount: heldCount != nil
            ).byte
        ]
        Varint.append(counts: held.count, arriving.count, to: &out)
        gossip.encode(into: &out)
        Varint.append(load, to: &out)
        Varint.append(list: held, from: gossip.watermark, to: &out)
        Varint.append(list: arriving, from: gossip.watermark, to: &out)
        if !lost.isEmpty {
            Varint.append(lost.count, to: &out)
            Varint.append(list: lost, from: gossip.watermark, to: &out)
        }
        if let heldCount { Varint.append(heldCount, to: &out) }
        if !handed.isEmpty {
            Varint.append(handed.count, to: &out)
            Varint.append(list: handed, from: gossip.watermark, to: &out)
        }
        return out
    }

    /// Takes a complete delta, with block numbers below `blockCount` only, from the front; nil for anything else.
    package init?(readingFrom bytes: inout ArraySlice<UInt8>, blockCount: Int) {
        var input = Varint.Reader(bytes)
        guard let byte = input.byte(), let head = MessageHead(byte), head.kind != .map,
            let (heldCount, arrivingCount) = input.counts(),
            let gossip = SwarmGossip(reading: &input, limit: blockCount, hasFullAge: head.hasFullAge),
            let load = input.number(),
            let held = input.list(heldCount, from: gossip.watermark, limit: blockCount),
            let arriving = input.list(arrivingCount, from: gossip.watermark, limit: blockCount)
        else { return nil }
        var lost: [Int] = []
        if head.hasLost {
            guard let count = input.number(), let list = input.list(count, from: gossip.watermark, limit: blockCount)
            else { return nil }
            lost = list
        }
        self.init(held: held, arriving: arriving, lost: lost, load: load, gossip: gossip)
        if head.hasHeldCount {
            guard let count = input.number(), count <= blockCount else { return nil }
            self.heldCount = count
        }
        if head.kind == .handover {
            guard let count = input.number(), count <= blockCount,
                let list = input.list(count, from: gossip.watermark, limit: blockCount)
            else { return nil }
            handed = list
        }
        isFull = head.isFull
        bytes = input.rest
    }

    /// nil unless the bytes are one complete delta and nothing else.
    public init?(decoding bytes: [UInt8], blockCount: Int) {
        var rest = bytes[...]
        self.init(readingFrom: &rest, blockCount: blockCount)
        guard rest.isEmpty else { return nil }
    }
}

extension SwarmGossip {
    func encode(into out: inout [UInt8]) {
        Varint.append(watermark, to: &out)
        let masks = [beyond, claimed].map { words in
            var bytes: [UInt8] = []
            for word in words.prefix(Self.words) {
                for shift in stride(from: UInt64(0), to: 64, by: 8) {
                    bytes.append(UInt8(truncatingIfNeeded: word >> shift))
                }
            }
            while bytes.last == 0 { bytes.removeLast() }
            return bytes
        }
        Varint.append(counts: masks[0].count, masks[1].count, to: &out)
        out += masks[0]
        out += masks[1]
        if let fullAge { Varint.append(fullAge, to: &out) }
    }

    init?(reading input: inout Varint.Reader, limit: Int, hasFullAge: Bool) {
        guard let watermark = input.number(), watermark <= limit, let counts = input.counts() else { return nil }
        var masks: [[UInt64]] = []
        for count in [counts.0, counts.1] {
            guard count <= Self.words * 8, let bytes = input.take(count) else { return nil }
            var words = [UInt64](repeating: 0, count: (bytes.count + 7) / 8)
            for (index, byte) in bytes.enumerated() { words[index / 8] |= UInt64(byte) << UInt64(index % 8 * 8) }
            masks.append(words)
        }
        var age: Int?
        if hasFullAge {
            guard let told = input.number() else { return nil }
            age = told
        }
        self.init(watermark: watermark, beyond: masks[0], claimed: masks[1], fullAge: age)
    }
}

/// The first byte of a message.
package struct MessageHead: Equatable {
    package enum Kind: UInt8 {
        // The kind serves as the version too: another layout takes another number.
        case delta = 2
        case map = 3
        /// A delta that hands blocks over.
        case handover = 4
    }

    package let kind: Kind
    var isFull = false
    var hasLost = false
    var hasFullAge = false
    var hasHeldCount = false

    init(kind: Kind, isFull: Bool = false, hasLost: Bool = false, hasFullAge: Bool = false, hasHeldCount: Bool = false)
    {
        self.kind = kind
        self.isFull = isFull
        self.hasLost = hasLost
        self.hasFullAge = hasFullAge
        self.hasHeldCount = hasHeldCount
    }

    /// nil: a message of another version.
    package init?(_ byte: UInt8) {
        guard let kind = Kind(rawValue: byte >> 4) else { return nil }
        self.init(
            kind: kind, isFull: byte & 1 != 0, hasLost: byte & 2 != 0, hasFullAge: byte & 4 != 0,
            hasHeldCount: byte & 8 != 0)
    }

    var byte: UInt8 {
        kind.rawValue << 4 | (isFull ? 1 : 0) | (hasLost ? 2 : 0) | (hasFullAge ? 4 : 0) | (hasHeldCount ? 8 : 0)
    }
}

package enum Varint {
    package static func append(_ number: Int, to out: inout [UInt8]) {
        var rest = UInt64(max(0, number))
        while rest >= 0x80 {
            out.append(UInt8(truncatingIfNeeded: rest) | 0x80)
            rest >>= 7
        }
        out.append(UInt8(rest))
    }

    /// Two numbers that are mostly small.
    static func append(counts first: Int, _ second: Int, to out: inout [UInt8]) {
        out.append(UInt8(min(first, escape) << 4 | min(second, escape)))
        if first >= escape { append(first, to: &out) }
        if second >= escape { append(second, to: &out) }
    }

    private static let escape = 15

    static func append(list: [Int], from start: Int, to out: inout [UInt8]) {
        var previous = start
        for number in list {
            let difference = number - previous
            append(difference >= 0 ? difference << 1 : (-difference << 1) - 1, to: &out)
            previous = number
        }
    }

    /// Reads bytes from another machine: everything malformed gives nil, and nothing allocates more than arrived.
    struct Reader {
        private let bytes: ArraySlice<UInt8>
        private var place: Int

        init(_ bytes: ArraySlice<UInt8>) {
            self.bytes = bytes
            place = bytes.startIndex
        }

        var rest: ArraySlice<UInt8> { bytes[place...] }

        mutating func byte() -> UInt8? {
            guard place < bytes.endIndex else { return nil }
            place += 1
            return bytes[place - 1]
        }

        mutating func number() -> Int? {
            var value: UInt64 = 0
            var shift: UInt64 = 0
            while let next = byte() {
                guard shift < 35 else { return nil }
                value |= UInt64(next & 0x7f) << shift
                if next & 0x80 == 0 { return Int(value) }
                shift += 7
            }
            return nil
        }

        mutating func counts() -> (Int, Int)? {
            guard let both = byte() else { return nil }
            var counts = (Int(both >> 4), Int(both & 15))
            if counts.0 == escape {
                guard let whole = number() else { return nil }
                counts.0 = whole
            }
            if counts.1 == escape {
                guard let whole = number() else { return nil }
                counts.1 = whole
            }
            return counts
        }

        mutating func take(_ count: Int) -> ArraySlice<UInt8>? {
            guard count >= 0, bytes.endIndex - place >= count else { return nil }
            place += count
            return bytes[(place - count)..<place]
        }

        mutating func list(_ count: Int, from start: Int, limit: Int) -> [Int]? {
            guard count <= bytes.endIndex - place else { return nil }
            var numbers: [Int] = []
            numbers.reserveCapacity(count)
            var previous = start
            for _ in 0..<count {
                guard let coded = number() else { return nil }
                previous += coded & 1 == 0 ? coded >> 1 : -((coded + 1) >> 1)
                guard previous >= 0, previous < limit else { return nil }
                numbers.append(previous)
            }
            return numbers
        }
    }
}
