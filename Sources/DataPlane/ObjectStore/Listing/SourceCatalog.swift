internal import TextCoding

/// The files of a model, out of a listing of its source: one value that agent, operator and command make alike.
public struct SourceCatalog: Sendable, Hashable {
    /// A key that no file can have, or that is no file's.
    public struct LeftOut: Sendable, Hashable {
        /// Below the prefix, as far as it is text.
        public let key: String
        /// The end of "it ...".
        public let reason: String
    }

    /// An object that is listed and cannot be read.
    public struct Unreadable: Sendable, Hashable {
        /// Below the prefix.
        public let key: String
        /// One line: the reason with the remedy.
        public let message: String
    }

    /// One for each file, in the store's order; keys are full.
    public private(set) var objects: [StoredObject]
    public private(set) var leftOut: [LeftOut]
    /// Of `objects`.
    public private(set) var unreadable: [Unreadable] = []
    public let location: ObjectLocation

    /// - Parameter include: shell patterns on the key below the prefix; empty takes all. The catalog does not name the
    ///   keys that they leave out.
    public init(_ listing: ObjectListing, of location: ObjectLocation, include: [String]) {
        self.location = location
        var left = listing.unreadableKeys.map { LeftOut(key: $0, reason: "is no UTF-8 text") }
        var kept: [(key: String, object: StoredObject)] = []
        var names: Set<String> = []
        for object in listing.objects {
            guard let key = location.relativeKey(object.key),
                include.isEmpty || include.contains(where: { ShellPattern.matches($0, key) })
            else { continue }
            if let problem = KeyRules.problem(with: key) {
                left.append(LeftOut(key: key, reason: problem))
            } else if !names.insert(key).inserted {
                left.append(LeftOut(key: key, reason: "is there twice, or once more in another Unicode form"))
            } else {
                kept.append((key, object))
            }
        }
        let collisions = KeyCollisions.lost(kept.map { ($0.key, $0.object.size) })
        for (key, reason) in collisions.sorted(by: { $0.key < $1.key }) {
            left.append(LeftOut(key: key, reason: reason))
        }
        objects = kept.filter { collisions[$0.key] == nil }.map(\.object)
        leftOut = left
    }

    /// The key below the prefix.
    public func relativeKey(_ object: StoredObject) -> String { location.relativeKey(object.key) ?? object.key }

    /// Sum of the sizes, at most `UInt64.max`.
    public var totalBytes: UInt64 {
        objects.reduce(0) { sum, object in sum.addingReportingOverflow(object.size).overflow ? .max : sum + object.size
        }
    }

    /// The digest of the objects that the source holds, to be compared.
    public var digest: SourceDigest {
        SourceDigest(of: objects.map { SourceDigest.Entry(relativeKey: relativeKey($0), size: $0.size, etag: $0.etag) })
    }

    /// One line that names what was left out; nil: nothing.
    public var leftOutWarning: String? {
        Self.line(leftOut.map { "\"\(Self.shown($0.key))\" \($0.reason)" }, "cannot be files and are left out")
    }

    /// One line that names what cannot be read, with the remedies; nil: nothing.
    public var unreadableWarning: String? { Self.line(unreadable.map(\.message), "cannot be read") }

    /// HEAD knows better than the listing.
    mutating func replace(_ object: StoredObject, at index: Int) { objects[index] = object }

    mutating func note(unreadable key: String, _ message: String) {
        unreadable.append(Unreadable(key: key, message: message))
    }

    /// An object that was deleted since it was listed.
    mutating func leaveOut(_ gone: [(key: String, reason: String)]) {
        let keys = Set(gone.map(\.key))
        objects.removeAll { keys.contains($0.key) }
        leftOut += gone.map { LeftOut(key: location.relativeKey($0.key) ?? $0.key, reason: $0.reason) }
    }

    private static let mostNamed = 5

    private static func line(_ items: [String], _ verb: String) -> String? {
        guard !items.isEmpty else { return nil }
        let more = items.count > mostNamed ? " and \(items.count - mostNamed) more" : ""
        return
            "\(items.count) object\(items.count == 1 ? "" : "s") \(verb): \(items.prefix(mostNamed).joined(separator: ", "))\(more)"
    }

    /// At most 120 characters, control characters and quotes escaped.
    private static func shown(_ key: String) -> String {
        let text = key.unicodeScalars.prefix(120).map {
            $0.value < 0x20 || $0.value == 0x7f ? "\\u{\(String($0.value, radix: 16))}" : String($0)
        }
        return text.joined() + (key.unicodeScalars.count > 120 ? "..." : "")
    }
}
