/// The secret that operator and agents share: the lines of the Secret's key `secret`, mounted as a file.
///
/// During a rotation the file holds several lines: the first signs, all verify. A key is the UTF-8 bytes of its line as it
/// stands, without white space at its ends; it is not decoded.
public struct AuthSecret: Equatable, Sendable, CustomStringConvertible {
    /// Shortest line that is taken, in bytes; anything shorter is a mistake and could be guessed.
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

    /// Never the secret.
    public var description: String { "AuthSecret(\(keys.count) keys)" }
}

extension AuthSecret: CustomReflectable {
    /// Keeps `dump` and test failures from printing the keys.
    public var customMirror: Mirror { Mirror(self, children: []) }
}
