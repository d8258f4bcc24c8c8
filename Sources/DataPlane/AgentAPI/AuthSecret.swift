/// The secret that operator and agents share: the lines of the Secret's key `secret`, mounted as a file.
///
/// During a rotation the file has several lines: the first signs, all verify. A key is the UTF-8 bytes of its line,
/// without white space at its ends, and is not decoded.
public struct AuthSecret: Equatable, Sendable, CustomStringConvertible {
    /// The shortest accepted line, in bytes; a shorter one is a mistake and could be guessed.
    public static let minimumKeyBytes = 16

    /// At least one.
    public let keys: [[UInt8]]

    /// - Returns: nil when no line is long enough.
    public init?(contents: some StringProtocol) {
        keys = contents.split(whereSeparator: \.isNewline)
            .map { line in
                var line = line[...]
                while let first = line.first, first.isWhitespace { line.removeFirst() }
                while let last = line.last, last.isWhitespace { line.removeLast() }
                return Array(line.utf8)
            }
            .filter { $0.count >= Self.minimumKeyBytes }
        if keys.isEmpty { return nil }
    }

    /// Does not show the secret.
    public var description: String { "AuthSecret(\(keys.count) keys)" }
}

extension AuthSecret: CustomReflectable {
    /// Prevents `dump` and test failures from printing the keys.
    public var customMirror: Mirror { Mirror(self, children: []) }
}
