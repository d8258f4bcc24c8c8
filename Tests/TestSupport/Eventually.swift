/// A condition did not come true in time.
public struct NeverHappened: Error, CustomStringConvertible {
    public let description: String

    public init(description: String) { self.description = description }
}

/// Waits until `condition` is true, for things that another thread or process does.
///
/// The bound is long: it ends a test that would otherwise hang, and says nothing about speed.
///
/// - Throws: ``NeverHappened`` with `what` after `bound`.
public func eventually(
    _ what: String, within bound: Duration = .seconds(60), _ condition: () async throws -> Bool
) async throws {
    let start = ContinuousClock.now
    while try await !condition() {
        guard start.duration(to: .now) < bound else { throw NeverHappened(description: "not within \(bound): \(what)") }
        try await Task.sleep(for: .milliseconds(2))
    }
}
