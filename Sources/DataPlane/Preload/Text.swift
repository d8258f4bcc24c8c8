import PreloadShim

/// Bytes of a path or a line in memory that somebody else owns. Embedded Swift's `String` would bring
/// Unicode tables and an allocator into every program; paths are bytes.
struct Text {
    let base: UnsafeMutablePointer<CChar>
    let capacity: Int
    private(set) var count = 0

    init(_ buffer: UnsafeMutableBufferPointer<CChar>) {
        // A temporary buffer that was asked for with a size above zero has an address.
        base = buffer.baseAddress.unsafelyUnwrapped
        capacity = buffer.count
        base[0] = 0
    }

    /// A text of its own for the life of the process; nil without memory.
    init?(keeping capacity: Int) {
        guard let memory = ossc_allocate(capacity) else { return nil }
        base = memory.assumingMemoryBound(to: CChar.self)
        self.capacity = capacity
    }

    mutating func clear() { truncate(to: 0) }

    mutating func truncate(to length: Int) {
        count = length
        base[count] = 0
    }

    mutating func append(_ byte: CChar) {
        guard count + 1 < capacity else { return }
        base[count] = byte
        count += 1
        base[count] = 0
    }

    mutating func append(_ bytes: UnsafePointer<CChar>, count length: Int) {
        for i in 0..<length { append(bytes[i]) }
    }

    mutating func append(_ string: UnsafePointer<CChar>) { append(string, count: length(of: string)) }

    mutating func append(_ literal: StaticString) {
        literal.withUTF8Buffer { for byte in $0 { append(CChar(bitPattern: byte)) } }
    }

    mutating func append(number: UInt64) {
        if number >= 10 { append(number: number / 10) }
        append(CChar(48 + number % 10))
    }
}

let slash = CChar(0x2F)
let dot = CChar(0x2E)

func length(of string: UnsafePointer<CChar>) -> Int {
    var n = 0
    while string[n] != 0 { n += 1 }
    return n
}

func hasPrefix(_ string: UnsafePointer<CChar>, _ prefix: StaticString) -> Bool {
    prefix.withUTF8Buffer {
        for (i, byte) in $0.enumerated() where string[i] != CChar(bitPattern: byte) { return false }
        return true
    }
}

func equal(_ string: UnsafePointer<CChar>, _ literal: StaticString) -> Bool {
    hasPrefix(string, literal) && string[literal.utf8CodeUnitCount] == 0
}

/// Where `needle` begins in `string`; nil when it does not occur.
func find(_ needle: StaticString, in string: UnsafePointer<CChar>) -> Int? {
    var i = 0
    while string[i] != 0 {
        if hasPrefix(string + i, needle) { return i }
        i += 1
    }
    return nil
}

/// A C string that lives as long as the process; nil without memory.
func keep(_ string: UnsafePointer<CChar>) -> UnsafePointer<CChar>? {
    guard var copy = Text(keeping: length(of: string) + 1) else { return nil }
    copy.append(string)
    return UnsafePointer(copy.base)
}

/// Memory for one call; 4 KiB, the longest path the kernel takes.
@inline(__always)
func withPath<R>(_ body: (inout Text) -> R) -> R {
    withUnsafeTemporaryAllocation(of: CChar.self, capacity: Int(OSSC_PATH_MAX)) {
        var text = Text($0)
        return body(&text)
    }
}

/// Appends `path` to an absolute, already normal `text`: no empty, `.` or `..` step is left.
func appendNormalised(_ path: UnsafePointer<CChar>, to text: inout Text) {
    var i = 0
    while path[i] != 0 {
        while path[i] == slash { i += 1 }
        let start = i
        while path[i] != 0 && path[i] != slash { i += 1 }
        let step = i - start
        if step == 0 || (step == 1 && path[start] == dot) { continue }
        if step == 2 && path[start] == dot && path[start + 1] == dot {
            var n = text.count
            while n > 0 && text.base[n - 1] != slash { n -= 1 }
            text.truncate(to: n > 0 ? n - 1 : 0)
            continue
        }
        text.append(slash)
        text.append(path + start, count: step)
    }
}
