internal import Synchronization
internal import TextCoding

/// A value that only grows. Lock-free.
public final class Counter: Metric {
    public static var type: String { "counter" }
    private let bits = Atomic<UInt64>(0)

    /// - Precondition: `amount` is not negative.
    public func increment(by amount: Double = 1) {
        precondition(amount >= 0, "a counter only grows")
        bits.add(amount)
    }

    public var value: Double { Double(bitPattern: bits.load(ordering: .relaxed)) }

    public func expose(name: String, labels: String, into text: inout String) {
        text += PrometheusText.sample(name, labels, value)
    }
}

/// A value that goes up and down. Lock-free.
public final class Gauge: Metric {
    public static var type: String { "gauge" }
    private let bits = Atomic<UInt64>(0)

    public func set(_ value: Double) { bits.store(value.bitPattern, ordering: .relaxed) }
    public func add(_ amount: Double) { bits.add(amount) }
    public var value: Double { Double(bitPattern: bits.load(ordering: .relaxed)) }

    public func expose(name: String, labels: String, into text: inout String) {
        text += PrometheusText.sample(name, labels, value)
    }
}

extension Atomic where Value == UInt64 {
    fileprivate borrowing func add(_ amount: Double) {
        var old = load(ordering: .relaxed)
        while true {
            let new = (Double(bitPattern: old) + amount).bitPattern
            let (exchanged, original) = weakCompareExchange(expected: old, desired: new, ordering: .relaxed)
            if exchanged { return }
            old = original
        }
    }
}

/// A distribution: the number of observations up to each bound, their total number and their sum.
public final class Histogram: Metric {
    public static var type: String { "histogram" }

    /// Prometheus' own default, made for network services that respond in seconds.
    public static let standardBuckets: [Double] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10]

    private struct State {
        /// Per bucket, not cumulated; the last one is the infinite bucket.
        var counts: [UInt64]
        var sum = 0.0
    }

    private let bounds: [Double]
    private let state: Mutex<State>

    /// - Precondition: `buckets` ascend.
    init(buckets: [Double]) {
        precondition(zip(buckets, buckets.dropFirst()).allSatisfy { $0 < $1 }, "buckets ascend")
        bounds = buckets.filter { $0.isFinite }
        state = Mutex(State(counts: Array(repeating: 0, count: bounds.count + 1)))
    }

    public func observe(_ value: Double) {
        let bucket = bounds.firstIndex { value <= $0 } ?? bounds.count
        state.withLock { state in
            state.counts[bucket] += 1
            state.sum += value
        }
    }

    /// In seconds, as Prometheus wants every time.
    public func observe(_ duration: Duration) { observe(duration.inSeconds) }

    public var count: UInt64 { state.withLock { $0.counts.reduce(0, +) } }
    public var sum: Double { state.withLock { $0.sum } }

    public func expose(name: String, labels: String, into text: inout String) {
        let (counts, sum) = state.withLock { ($0.counts, $0.sum) }
        let prefix = labels.isEmpty ? "" : labels + ","
        var total: UInt64 = 0
        for (bound, count) in zip(bounds + [.infinity], counts) {
            total += count
            text += PrometheusText.sample(
                name + "_bucket", "\(prefix)le=\"\(PrometheusText.number(bound))\"", Double(total))
        }
        text += PrometheusText.sample(name + "_sum", labels, sum)
        text += PrometheusText.sample(name + "_count", labels, Double(total))
    }
}

extension Duration {
    /// With the fraction of a second.
    var inSeconds: Double {
        let (seconds, attoseconds) = components
        return Double(seconds) + Double(attoseconds) * 1e-18
    }
}
