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

    /// A C string. The label keeps string literals away, which Swift would turn into a String of the heap.
    mutating func append(c string: UnsafePointer<CChar>) { append(string, count: length(of: string)) }

    mutating func append(_ literal: StaticString) {
        literal.withUTF8Buffer { for byte in $0 { append(CChar(bitPattern: byte)) } }
    }

    /// FNV-1a of the bytes; not 0.
    var hash: UInt64 {
        var hash: UInt64 = 0xcbf2_9ce4_8422_2325
        for i in 0..<count { hash = (hash ^ UInt64(UInt8(bitPattern: base[i]))) &* 0x100_0000_01b3 }
        return max(1, hash)
    }

    mutating func append(number: UInt64) {
        if number >= 10 { append(number: number / 10) }
        append(CChar(48 + number % 10))
    }
}

extension Text {
    mutating func append(octal: UInt32) {
        if octal >= 8 { append(octal: octal / 8) }
        append(CChar(48 + octal % 8))
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

/// Whether two C strings hold the same bytes.
func same(_ one: UnsafePointer<CChar>, _ other: UnsafePointer<CChar>) -> Bool {
    var i = 0
    while one[i] == other[i] {
        if one[i] == 0 { return true }
        i += 1
    }
    return false
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
    copy.append(c: string)
    return UnsafePointer(copy.base)
}

/// Memory for one call; 4 KiB, the longest path the kernel takes. Neither of the heap nor of the stack.
@inline(__always)
func withPath<R>(_ body: (inout Text) -> R) -> R {
    // The shim waits for memory rather than give none.
    let buffer = ossc_take_buffer().unsafelyUnwrapped
    var text = Text(UnsafeMutableBufferPointer(start: buffer, count: Int(OSSC_PATH_MAX)))
    let result = body(&text)
    ossc_give_buffer(buffer)
    return result
}

/// The same memory, for what is no text; 16-byte aligned.
@inline(__always)
func withBuffer<R>(_ body: (UnsafeMutableRawPointer) -> R) -> R {
    let buffer = ossc_take_buffer().unsafelyUnwrapped
    let result = body(UnsafeMutableRawPointer(buffer))
    ossc_give_buffer(buffer)
    return result
}
let bufferBytes = Int(OSSC_PATH_MAX)

/// Whole pages for one use, `bytes` of them; nil without memory.
func withMappedBytes<R>(_ bytes: Int, _ body: (UnsafeMutableRawPointer) -> R) -> R? {
    guard let memory = ossc_map_memory(bytes) else { return nil }
    defer { _ = ossc_munmap(memory, bytes) }
    return body(memory)
}

/// Calls `body` with a literal as a C string.
func literal<R>(_ text: StaticString, _ body: (UnsafeMutablePointer<CChar>) -> R) -> R {
    text.utf8Start.withMemoryRebound(to: CChar.self, capacity: text.utf8CodeUnitCount + 1) {
        body(UnsafeMutablePointer(mutating: $0))
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
