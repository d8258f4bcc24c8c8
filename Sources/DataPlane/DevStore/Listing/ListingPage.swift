/// One page of a listing: its query and its result, as values.
package struct ListingQuery: Sendable, Equatable {
    package var prefix = ""
    package var delimiter = ""
    /// Only keys after this one in byte order. The name of a group stands for the complete group, which is skipped.
    package var after = ""
    package var maxKeys = 100

    package init(prefix: String = "", delimiter: String = "", after: String = "", maxKeys: Int = 100) {
        self.prefix = prefix
        self.delimiter = delimiter
        self.after = after
        self.maxKeys = maxKeys
    }
}

package struct ListingPage: Sendable {
    package enum Entry: Sendable {
        case object(StoredObject)
        case group(String)
    }
    package var entries: [Entry] = []
    /// The start of the next page; nil on the last page.
    package var next: String?

    /// `objects` are sorted by the bytes of their keys.
    package init(_ query: ListingQuery, objects: [StoredObject]) {
        guard query.maxKeys > 0 else { return }
        // Not every text that ends in the delimiter is a group: under the prefix `da`, `da` is a key for the delimiter
        // `a`.
        let skipsGroup =
            query.after.utf8.starts(with: query.prefix.utf8) && Self.group(of: query.after, query) == query.after
        var last = ""
        for object in objects where object.key.utf8.starts(with: query.prefix.utf8) {
            if !query.after.isEmpty {
                if !query.after.utf8.lexicographicallyPrecedes(object.key.utf8) { continue }
                if skipsGroup && object.key.utf8.starts(with: query.after.utf8) { continue }
            }
            let group = Self.group(of: object.key, query)
            if let group, case .group(group)? = entries.last.map(Self.name) { continue }
            if entries.count == query.maxKeys {
                next = last
                return
            }
            entries.append(group.map { .group($0) } ?? .object(object))
            last = group ?? object.key
        }
    }

    private enum Name: Equatable { case object, group(String) }
    private static func name(_ entry: Entry) -> Name {
        if case .group(let text) = entry { .group(text) } else { .object }
    }

    /// The common prefix that contains a key.
    private static func group(of key: String, _ query: ListingQuery) -> String? {
        let delimiter = Array(query.delimiter.utf8)
        guard !delimiter.isEmpty else { return nil }
        let bytes = Array(key.utf8)
        var index = query.prefix.utf8.count
        while index + delimiter.count <= bytes.count {
            if bytes[index..<index + delimiter.count].elementsEqual(delimiter) {
                return String(decoding: bytes[..<(index + delimiter.count)], as: UTF8.self)
            }
            index += 1
        }
        return nil
    }
}
