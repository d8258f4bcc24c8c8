public import Kubernetes

/// JSON as RFC 8259 has it, read in one pass and bounded in depth: a webhook answers in milliseconds, also to a pod of
/// a megabyte, and a general decoder that tries one type after the other takes many times as long.
public enum JSONText {
    /// A text's fault, and its place. It holds nothing of the text itself: that may be a secret.
    public struct Failure: Error, Sendable, Hashable, CustomStringConvertible {
        /// Bytes before it.
        public var offset: Int
        public var problem: String
        /// The text may be JSON, but it is more than ``Limits`` allow.
        public var isLimit = false

        public var description: String { "\(problem) at byte \(offset)" }
    }

    /// Bounds on one text. The port is open to the cluster, so a body decides about none of the operator's memory.
    public enum Limits {
        /// Nested lists and objects. No object of Kubernetes is nested half as deep; recursion must not end a process.
        public static let depth = 200
        /// Values, members' values and list elements included. A pod of 1.5 MiB, the most that etcd takes, has about
        /// 40,000.
        public static let values = 100_000
        /// Bytes of one string, as written. Kubernetes allows 256 KiB for all annotations of an object.
        public static let stringBytes = 1 << 20
        /// Bytes of one number, as written.
        public static let numberBytes = 128
        /// Bytes that the tree may occupy, as the reader estimates them: no less than it does occupy.
        public static let memoryBytes = 16 << 20
        /// A tree occupies at most so many times its text's bytes: `[{"":0},` makes the most of the fewest.
        static let memoryPerByte = 48
    }

    /// The last of two members of one name wins. A number without fraction and exponent that an Int64 holds is
    /// ``JSONValue/integer(_:)``.
    ///
    /// - Throws: ``Failure``; with ``Failure/isLimit`` when the text is more than ``Limits`` allow.
    public static func parse(_ bytes: UnsafeRawBufferPointer) throws(Failure) -> JSONValue { try read(bytes).value }

    /// ``parse(_:)``, and what the tree occupies at most, in bytes.
    package static func read(_ bytes: UnsafeRawBufferPointer) throws(Failure) -> (value: JSONValue, memory: Int) {
        var reader = JSONReader(bytes: bytes)
        let value = try reader.value(depth: 0)
        reader.skipSpace()
        guard reader.isAtEnd else { throw reader.failure("something follows the document") }
        return (value, reader.memory)
    }

    /// On one line, members sorted: the same value gives the same bytes.
    public static func write(_ value: JSONValue) -> [UInt8] {
        var text: [UInt8] = []
        append(value, to: &text)
        return text
    }

    private static func append(_ value: JSONValue, to text: inout [UInt8]) {
        switch value {
        case .null: text += "null".utf8
        case .bool(let value): text += (value ? "true" : "false").utf8
        case .integer(let value): text += String(value).utf8
        case .number(let value): text += (value.isFinite ? "\(value)" : "null").utf8
        case .string(let value): append(value, to: &text)
        case .array(let elements):
            text.append(UInt8(ascii: "["))
            for (index, element) in elements.enumerated() {
                if index > 0 { text.append(UInt8(ascii: ",")) }
                append(element, to: &text)
            }
            text.append(UInt8(ascii: "]"))
        case .object(let members):
            text.append(UInt8(ascii: "{"))
            for (index, member) in members.sorted(by: { $0.key < $1.key }).enumerated() {
                if index > 0 { text.append(UInt8(ascii: ",")) }
                append(member.key, to: &text)
                text.append(UInt8(ascii: ":"))
                append(member.value, to: &text)
            }
            text.append(UInt8(ascii: "}"))
        }
    }

    private static func append(_ string: String, to text: inout [UInt8]) {
        let digits = Array("0123456789abcdef".utf8)
        text.append(UInt8(ascii: "\""))
        for byte in string.utf8 {
            switch byte {
            case UInt8(ascii: "\""), UInt8(ascii: "\\"): text += [UInt8(ascii: "\\"), byte]
            case 0..<0x20: text += Array("\\u00".utf8) + [digits[Int(byte >> 4)], digits[Int(byte & 15)]]
            default: text.append(byte)
            }
        }
        text.append(UInt8(ascii: "\""))
    }
}
