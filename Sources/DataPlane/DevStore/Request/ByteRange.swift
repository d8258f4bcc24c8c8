/// The meaning of a Range header for an object of a known size.
package enum ByteRange: Sendable, Equatable {
    /// The complete object with status 200.
    case whole
    /// These bytes with status 206.
    case part(Range<Int64>)
    /// Status 416, InvalidRange.
    case unsatisfiable

    /// OSS, without `x-oss-range-behavior: standard`, responds to any range that is not completely inside the object
    /// with the complete object and status 200 (OSS documentation, GetObject, "Range"). With the header, and always in
    /// S3, RFC 9110 section 14 holds: the end is cut to the object, and a start past the end is 416. Anything but a
    /// single byte range is ignored.
    package init(header: String?, size: Int64, standard: Bool) {
        guard let header, header.hasPrefix("bytes=") else { self = .whole; return }
        let halves = header.dropFirst(6).split(separator: "-", maxSplits: 1, omittingEmptySubsequences: false)
        guard halves.count == 2 else { self = .whole; return }
        let first = Self.number(halves[0]), last = Self.number(halves[1])
        switch (first, last) {
        case (nil, let suffix?) where halves[0].isEmpty:
            if suffix == 0 || size == 0 { self = standard ? .unsatisfiable : .whole; return }
            if suffix > size && !standard { self = .whole; return }
            self = .part(max(0, size - suffix)..<size)
        case (let start?, nil) where halves[1].isEmpty:
            if start >= size { self = standard ? .unsatisfiable : .whole; return }
            self = .part(start..<size)
        case (let start?, let end?) where start <= end:
            if start >= size { self = standard ? .unsatisfiable : .whole; return }
            if end >= size && !standard { self = .whole; return }
            self = .part(start..<(min(end, size - 1) + 1))
        default:
            self = .whole
        }
    }

    private static func number(_ text: Substring) -> Int64? {
        guard !text.isEmpty, text.utf8.allSatisfy({ (48...57).contains($0) }) else { return nil }
        return Int64(text)
    }
}
