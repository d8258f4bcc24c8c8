/// Bytes of the control messages: version 1, all numbers as LEB128 varints.
///
///     map   = version, gossip, load, arriving list, capacity, bitmap (capacity/8 bytes, rounded up, bit 0 first)
///     delta = version (+ 128: holds everything), gossip, load, held list, arriving list, lost list
///     gossip = watermark, n, n bytes of `beyond`, m, m bytes of `claimed` (bit 0 first, trailing zero bytes left out), `fullAge` + 1 or 0
///     list  = count, first, then differences to the one before, each zigzag-coded
///
/// A delta with one block is about ten bytes. Frame them (length, kind) as the connection needs.
extension SwarmMap {
    static let version: UInt8 = 1

    public func encoded() -> [UInt8] {
        var out: [UInt8] = [Self.version]
        gossip.encode(into: &out)
        Varint.append(load, to: &out)
        Varint.append(list: arriving, to: &out)
        Varint.append(blocks.capacity, to: &out)
        let bytes = (blocks.capacity + 7) / 8
        for index in 0..<bytes { out.append(UInt8(truncatingIfNeeded: blocks.words[index / 8] >> UInt64(index % 8 * 8))) }
        return out
    }

    /// nil for anything but a whole map of exactly `blockCount` blocks: the bytes came from another machine.
    public init?(decoding bytes: some Sequence<UInt8>, blockCount: Int) {
        var input = Varint.Reader(Array(bytes))
        guard input.byte() == Self.version, let gossip = SwarmGossip(reading: &input, limit: blockCount),
            let load = input.number(), let arriving = input.list(limit: blockCount),
            let capacity = input.number(), capacity == blockCount, let bitmap = input.take((capacity + 7) / 8), input.isAtEnd
        else { return nil }
        var words = [UInt64](repeating: 0, count: (capacity + 63) / 64)
        for (index, byte) in bitmap.enumerated() { words[index / 8] |= UInt64(byte) << UInt64(index % 8 * 8) }
        self.init(blocks: BlockSet(capacity: capacity, words: words), arriving: arriving, load: load, gossip: gossip)
    }
}

extension SwarmDelta {
    public func encoded() -> [UInt8] {
        var out: [UInt8] = [SwarmMap.version | (isFull ? 0x80 : 0)]
        gossip.encode(into: &out)
        Varint.append(load, to: &out)
        Varint.append(list: held, to: &out)
        Varint.append(list: arriving, to: &out)
        Varint.append(list: lost, to: &out)
        return out
    }

    /// nil for anything but a whole delta that names blocks below `blockCount` only.
    public init?(decoding bytes: some Sequence<UInt8>, blockCount: Int) {
        var input = Varint.Reader(Array(bytes))
        guard let version = input.byte(), version & 0x7f == SwarmMap.version,
            let gossip = SwarmGossip(reading: &input, limit: blockCount), let load = input.number(), let held = input.list(limit: blockCount),
            let arriving = input.list(limit: blockCount), let lost = input.list(limit: blockCount), input.isAtEnd
        else { return nil }
        self.init(held: held, arriving: arriving, lost: lost, load: load, gossip: gossip)
        isFull = version & 0x80 != 0
    }
}

extension SwarmGossip {
    func encode(into out: inout [UInt8]) {
        Varint.append(watermark, to: &out)
        for words in [beyond, claimed] {
            var bytes: [UInt8] = []
            for word in words.prefix(Self.words) {
                for shift in stride(from: UInt64(0), to: 64, by: 8) { bytes.append(UInt8(truncatingIfNeeded: word >> shift)) }
            }
            while bytes.last == 0 { bytes.removeLast() }
            out.append(UInt8(bytes.count))
            out += bytes
        }
        Varint.append(fullAge.map { $0 + 1 } ?? 0, to: &out)
    }

    init?(reading input: inout Varint.Reader, limit: Int) {
        guard let watermark = input.number(), watermark <= limit else { return nil }
        var masks: [[UInt64]] = []
        for _ in 0..<2 {
            guard let count = input.byte(), Int(count) <= Self.words * 8, let bytes = input.take(Int(count)) else { return nil }
            var words = [UInt64](repeating: 0, count: (bytes.count + 7) / 8)
            for (index, byte) in bytes.enumerated() { words[index / 8] |= UInt64(byte) << UInt64(index % 8 * 8) }
            masks.append(words)
        }
        guard let age = input.number() else { return nil }
        self.init(watermark: watermark, beyond: masks[0], claimed: masks[1], fullAge: age > 0 ? age - 1 : nil)
    }
}

enum Varint {
    static func append(_ number: Int, to out: inout [UInt8]) {
        var rest = UInt64(max(0, number))
        while rest >= 0x80 {
            out.append(UInt8(truncatingIfNeeded: rest) | 0x80)
            rest >>= 7
        }
        out.append(UInt8(rest))
    }

    static func append(list: [Int], to out: inout [UInt8]) {
        append(list.count, to: &out)
        var previous = 0
        for number in list {
            let difference = number - previous
            append(difference >= 0 ? difference << 1 : (-difference << 1) - 1, to: &out)
            previous = number
        }
    }

    struct Reader {
        private let bytes: [UInt8]
        private var place = 0

        init(_ bytes: [UInt8]) { self.bytes = bytes }

        var isAtEnd: Bool { place == bytes.count }

        mutating func byte() -> UInt8? {
            guard place < bytes.count else { return nil }
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

        mutating func take(_ count: Int) -> ArraySlice<UInt8>? {
            guard count >= 0, bytes.count - place >= count else { return nil }
            place += count
            return bytes[(place - count)..<place]
        }

        mutating func list(limit: Int) -> [Int]? {
            guard let count = number(), count <= bytes.count - place else { return nil }
            var numbers: [Int] = []
            numbers.reserveCapacity(count)
            var previous = 0
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
