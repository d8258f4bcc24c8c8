/// Writes Events: to the API server, or to a substitute in tests.
public protocol EventSink: Sendable {
    /// - Throws: ``KubernetesError``.
    func create(_ event: Event) async throws
    /// Sets count, last time and message of an existing Event.
    ///
    /// - Throws: ``KubernetesError`` whose `isNotFound` holds when the Event expired meanwhile.
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

/// The type of an Event.
public enum EventType: String, Sendable, Hashable, CaseIterable {
    /// For information.
    case normal = "Normal"
    /// Something may be wrong.
    case warning = "Warning"
}
