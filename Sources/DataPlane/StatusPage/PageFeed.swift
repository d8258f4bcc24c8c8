internal import Foundation

/// Looks when a page asks. All pages that ask while one look is under way share it, and a look that has just been is
/// not made again.
public actor PageFeed {
    /// After this time a page is told that the look has no answer yet; the look goes on.
    static let patience: Duration = .seconds(3)

    private let read: @Sendable () async -> PageReading
    private let pause: Duration
    private let patience: Duration
    private var history: PageHistory
    private var looked: ContinuousClock.Instant?
    private var running: Task<Void, Never>?

    /// - Parameters:
    ///   - data: without views.
    ///   - read: one look.
    public init(_ data: PageData, read: @escaping @Sendable () async -> PageReading) {
        self.init(data, patience: Self.patience, read: read)
    }

    package init(_ data: PageData, patience: Duration, read: @escaping @Sendable () async -> PageReading) {
        history = PageHistory(data)
        // A little less than pages wait: one that asks in time gets a new look.
        pause = .milliseconds(data.pauseMilliseconds * 9 / 10)
        self.patience = patience
        self.read = read
    }

    package func data() async -> PageData {
        if let looked, looked.duration(to: .now) < pause, running == nil { return history.data }
        let look = running ?? begin()
        if await Self.ends(look, within: patience) { return history.data }
        // Its answer may have come since the time was over: it is not to be hidden.
        guard running == look else { return history.data }
        history.take(PageReading(missing: "there is no answer yet"), at: Self.now)
        return history.data
    }

    private func begin() -> Task<Void, Never> {
        let look = Task {
            let reading = await read()
            history.take(reading, at: Self.now)
            looked = .now
            running = nil
        }
        running = look
        return look
    }

    private static func ends(_ look: Task<Void, Never>, within patience: Duration) async -> Bool {
        let (ends, told) = AsyncStream.makeStream(of: Bool.self)
        let waiter = Task {
            await look.value
            told.yield(true)
        }
        let clock = Task {
            try await Task.sleep(for: patience)
            told.yield(false)
        }
        defer {
            waiter.cancel()
            clock.cancel()
        }
        var iterator = ends.makeAsyncIterator()
        return await iterator.next() ?? false
    }

    private static var now: Int64 { Int64(Date.now.timeIntervalSince1970) }
}
