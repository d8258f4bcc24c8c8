/// Where Events are written: the API server, or a stand-in in tests.
public protocol EventSink: Sendable {
    /// - Throws: ``KubernetesError``.
    func create(_ event: Event) async throws
    /// Sets count, last time and message of an Event that is there.
    ///
    /// - Throws: ``KubernetesError`` whose `isNotFound` holds when it expired meanwhile.
    func count(namespace: String, name: String, _ repetition: EventRepetition) async throws
}

/// The part of an Event that a repetition changes; a merge patch.
public struct EventRepetition: Codable, Sendable, Equatable {
    public var count: Int32
    public var lastTimestamp: Timestamp
    public var message: String

    public init(count: Int32, lastTimestamp: Timestamp, message: String) {
        self.count = count
        self.lastTimestamp = lastTimestamp
        self.message = message
    }
}

/// An Event's weight.
public enum EventType: String, Sendable, Hashable, CaseIterable {
    /// For information.
    case normal = "Normal"
    /// Something may be wrong.
    case warning = "Warning"
}
