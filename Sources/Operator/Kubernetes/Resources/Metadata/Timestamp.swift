public import FoundationEssentials
internal import TextCoding

/// `metav1.Time`: a moment in seconds, RFC 3339 in UTC on the wire. Eight bytes, compared as a number.
public struct Timestamp: Codable, Sendable, Hashable, Comparable, CustomStringConvertible {
    public var secondsSinceEpoch: Int64

    public init(secondsSinceEpoch: Int64) {
        self.secondsSinceEpoch = secondsSinceEpoch
    }

    /// Cuts off fractions of a second, as the server does.
    public init(_ date: Date) {
        secondsSinceEpoch = Int64(date.timeIntervalSince1970.rounded(.down))
    }

    public static var now: Timestamp { Timestamp(Date()) }

    public var date: Date { Date(timeIntervalSince1970: Double(secondsSinceEpoch)) }

    /// As on the wire, "2006-01-02T15:04:05Z".
    public var description: String { RFC3339.text(secondsSinceEpoch: secondsSinceEpoch) }

    public init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        let text = try container.decode(String.self)
        guard let moment = RFC3339.parse(text) else {
            throw DecodingError.dataCorruptedError(in: container, debugDescription: "not an RFC 3339 time: \(text)")
        }
        secondsSinceEpoch = moment.seconds
    }

    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(description)
    }

    public static func < (left: Timestamp, right: Timestamp) -> Bool {
        left.secondsSinceEpoch < right.secondsSinceEpoch
    }
}

/// `metav1.MicroTime`: a moment in microseconds, for Leases and Events.
public struct MicroTime: Codable, Sendable, Hashable, Comparable, CustomStringConvertible {
    public var microsecondsSinceEpoch: Int64

    public init(microsecondsSinceEpoch: Int64) {
        self.microsecondsSinceEpoch = microsecondsSinceEpoch
    }

    public init(_ date: Date) {
        microsecondsSinceEpoch = Int64((date.timeIntervalSince1970 * 1_000_000).rounded(.down))
    }

    public static var now: MicroTime { MicroTime(Date()) }

    public var date: Date { Date(timeIntervalSince1970: Double(microsecondsSinceEpoch) / 1_000_000) }

    /// As on the wire, "2006-01-02T15:04:05.000000Z": always six digits, which older servers require.
    public var description: String {
        let (seconds, micros) = microsecondsSinceEpoch.flooredDivision(by: 1_000_000)
        return RFC3339.text(secondsSinceEpoch: seconds, microseconds: micros)
    }

    public init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        let text = try container.decode(String.self)
        guard let moment = RFC3339.parse(text) else {
            throw DecodingError.dataCorruptedError(in: container, debugDescription: "not an RFC 3339 time: \(text)")
        }
        microsecondsSinceEpoch = moment.seconds * 1_000_000 + moment.microseconds
    }

    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(description)
    }

    public static func < (left: MicroTime, right: MicroTime) -> Bool {
        left.microsecondsSinceEpoch < right.microsecondsSinceEpoch
    }
}
