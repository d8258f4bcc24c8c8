internal import Kubernetes

/// The reader behind ``JSONText/parse(_:)``.
struct JSONReader: ~Copyable {
    private let bytes: UnsafeBufferPointer<UInt8>
    private var at = 0
    private var values = 0
    /// Bytes that the values read so far occupy at most.
    private(set) var memory = 0

    // An allocation of a string or a list has a head of 32 bytes, and malloc adds up to 16. A list doubles as it grows.
    // A table of an object has 40 bytes a bucket, is at most three quarters full, and doubles; the former one is there
    // while it is copied.
    private static let stringHeadBytes = 48
    private static let elementBytes = 2 * MemoryLayout<JSONValue>.stride + 8
    private static let listHeadBytes = 48
    private static let memberBytes = 160
    private static let objectHeadBytes = 96

    init(bytes: UnsafeRawBufferPointer) { self.bytes = bytes.bindMemory(to: UInt8.self) }

    var isAtEnd: Bool { at == bytes.count }

    func failure(_ problem: String) -> JSONText.Failure { JSONText.Failure(offset: at, problem: problem) }

    private func limit(_ problem: String) -> JSONText.Failure {
        JSONText.Failure(offset: at, problem: problem, isLimit: true)
    }

    private mutating func occupy(_ bytes: Int) throws(JSONText.Failure) {
        memory += bytes
        guard memory <= JSONText.Limits.memoryBytes else {
            throw limit("the values need more than \(JSONText.Limits.memoryBytes >> 20) MiB of memory")
        }
    }

    mutating func skipSpace() {
        while at < bytes.count, bytes[at] == 0x20 || bytes[at] == 0x0A || bytes[at] == 0x0D || bytes[at] == 0x09 {
            at += 1
        }
    }

    mutating func value(depth: Int) throws(JSONText.Failure) -> JSONValue {
        guard depth <= JSONText.Limits.depth else { throw limit("nested deeper than \(JSONText.Limits.depth)") }
        values += 1
        guard values <= JSONText.Limits.values else { throw limit("more than \(JSONText.Limits.values) values") }
        skipSpace()
        guard at < bytes.count else { throw failure("the text ends early") }
        switch bytes[at] {
        case UInt8(ascii: "{"): return try object(depth: depth)
        case UInt8(ascii: "["): return try array(depth: depth)
        case UInt8(ascii: "\""): return .string(try string())
        case UInt8(ascii: "t"):
            try word("true")
            return .bool(true)
        case UInt8(ascii: "f"):
            try word("false")
            return .bool(false)
        case UInt8(ascii: "n"):
            try word("null")
            return .null
        default: return try number()
        }
    }

    private mutating func object(depth: Int) throws(JSONText.Failure) -> JSONValue {
        at += 1
        var members: [String: JSONValue] = [:]
        skipSpace()
        if take(UInt8(ascii: "}")) { return .object(members) }
        try occupy(Self.objectHeadBytes)
        while true {
            try occupy(Self.memberBytes)
            skipSpace()
            guard at < bytes.count, bytes[at] == UInt8(ascii: "\"") else {
                throw failure("a member's name is expected")
            }
            let name = try string()
            skipSpace()
            guard take(UInt8(ascii: ":")) else { throw failure("a colon is expected") }
            members[name] = try value(depth: depth + 1)
            skipSpace()
            if take(UInt8(ascii: ",")) { continue }
            guard take(UInt8(ascii: "}")) else { throw failure("a comma or } is expected") }
            return .object(members)
        }
    }

    private mutating func array(depth: Int) throws(JSONText.Failure) -> JSONValue {
        at += 1
        var elements: [JSONValue] = []
        skipSpace()
        if take(UInt8(ascii: "]")) { return .array(elements) }
        try occupy(Self.listHeadBytes)
        while true {
            try occupy(Self.elementBytes)
            elements.append(try value(depth: depth + 1))
            skipSpace()
            if take(UInt8(ascii: ",")) { continue }
            guard take(UInt8(ascii: "]")) else { throw failure("a comma or ] is expected") }
            return .array(elements)
        }
    }

    private mutating func take(_ byte: UInt8) -> Bool {
        guard at < bytes.count, bytes[at] == byte else { return false }
        at += 1
        return true
    }

    private mutating func word(_ word: StaticString) throws(JSONText.Failure) {
        for offset in 0..<word.utf8CodeUnitCount {
            guard take(word.utf8Start[offset]) else { throw failure("a value is expected") }
        }
    }

    private mutating func digits() -> Int {
        let start = at
        while at < bytes.count, bytes[at] >= 0x30, bytes[at] <= 0x39 { at += 1 }
        return at - start
    }

    private mutating func number() throws(JSONText.Failure) -> JSONValue {
        let start = at
        _ = take(UInt8(ascii: "-"))
        let first = at
        guard digits() > 0 else { throw failure("a value is expected") }
        guard bytes[first] != 0x30 || at - first == 1 else { throw failure("a number begins with 0") }
        var isInteger = true
        if take(UInt8(ascii: ".")) {
            isInteger = false
            guard digits() > 0 else { throw failure("a digit is expected") }
        }
        if take(UInt8(ascii: "e")) || take(UInt8(ascii: "E")) {
            isInteger = false
            if !take(UInt8(ascii: "+")) { _ = take(UInt8(ascii: "-")) }
            guard digits() > 0 else { throw failure("a digit is expected") }
        }
        guard at - start <= JSONText.Limits.numberBytes else {
            throw limit("a number of more than \(JSONText.Limits.numberBytes) characters")
        }
        let text = String(decoding: UnsafeBufferPointer(rebasing: bytes[start..<at]), as: UTF8.self)
        if isInteger, let value = Int64(text) { return .integer(value) }
        guard let value = Double(text), value.isFinite else { throw failure("a number is out of range") }
        return .number(value)
    }

    /// The bytes up to the quote as they are, when none is escaped: nearly always.
    private mutating func string() throws(JSONText.Failure) -> String {
        at += 1
        let start = at
        while at < bytes.count, bytes[at] != UInt8(ascii: "\""), bytes[at] != UInt8(ascii: "\\"), bytes[at] >= 0x20 {
            at += 1
        }
        try checkString(from: start)
        guard at < bytes.count, bytes[at] == UInt8(ascii: "\"") else { return try escapedString(from: start) }
        try occupyString(at - start)
        let text = String(validating: UnsafeBufferPointer(rebasing: bytes[start..<at]), as: UTF8.self)
        guard let text else { throw failure("a string is not UTF-8") }
        at += 1
        return text
    }

    private func checkString(from start: Int) throws(JSONText.Failure) {
        guard at - start <= JSONText.Limits.stringBytes else {
            throw limit("a string of more than \(JSONText.Limits.stringBytes >> 10) KiB")
        }
    }

    /// A string of up to 15 bytes lies in its value (docs of Swift's String: small form).
    private mutating func occupyString(_ bytes: Int) throws(JSONText.Failure) {
        if bytes > 15 { try occupy(Self.stringHeadBytes + bytes) }
    }

    private mutating func escapedString(from start: Int) throws(JSONText.Failure) -> String {
        var kept = Array(bytes[start..<at])
        while at < bytes.count {
            let byte = bytes[at]
            if byte < 0x20 { throw failure("a control character in a string") }
            at += 1
            try checkString(from: start)
            if byte == UInt8(ascii: "\"") {
                try occupyString(kept.count)
                guard let text = String(validating: kept, as: UTF8.self) else { throw failure("a string is not UTF-8") }
                return text
            }
            if byte == UInt8(ascii: "\\") { try escape(into: &kept) } else { kept.append(byte) }
        }
        throw failure("the text ends early")
    }

    private mutating func escape(into text: inout [UInt8]) throws(JSONText.Failure) {
        guard at < bytes.count else { throw failure("the text ends early") }
        let byte = bytes[at]
        at += 1
        switch byte {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): text.append(byte)
        case UInt8(ascii: "b"): text.append(0x08)
        case UInt8(ascii: "f"): text.append(0x0C)
        case UInt8(ascii: "n"): text.append(0x0A)
        case UInt8(ascii: "r"): text.append(0x0D)
        case UInt8(ascii: "t"): text.append(0x09)
        case UInt8(ascii: "u"):
            var unit = try hexadecimal()
            if unit & 0xFC00 == 0xD800, at + 1 < bytes.count, bytes[at] == UInt8(ascii: "\\"),
                bytes[at + 1] == UInt8(ascii: "u")
            {
                let before = at
                at += 2
                let low = try hexadecimal()
                if low & 0xFC00 == 0xDC00 { unit = 0x10000 + (unit & 0x3FF) << 10 + (low & 0x3FF) } else { at = before }
            }
            // Half a pair stands for no character; the API server's own reader puts this one there too.
            text += Array(String(Character(Unicode.Scalar(unit) ?? "\u{FFFD}")).utf8)
        default: throw failure("an escape that JSON does not have")
        }
    }

    private mutating func hexadecimal() throws(JSONText.Failure) -> UInt32 {
        var unit: UInt32 = 0
        for _ in 0..<4 {
            guard at < bytes.count, let digit = Character(Unicode.Scalar(bytes[at])).hexDigitValue, bytes[at] < 0x80
            else {
                throw failure("four hexadecimal digits are expected")
            }
            unit = unit << 4 | UInt32(digit)
            at += 1
        }
        return unit
    }
}
