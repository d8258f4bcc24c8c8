internal import Synchronization
internal import TextCoding

/// The metrics of a process, and their text for Prometheus.
///
/// The same name gives the same family, so that unrelated modules can share it. A family creates its children on first
/// use. Use each known set of label values once at the start (``MetricFamily/subscript(_:)``), so that alerts see a
/// zero instead of nothing.
///
/// ```swift
/// let registry = MetricsRegistry()
/// let requests = registry.counter("rest_client_requests_total", help: "Requests.", labels: ["code", "method"])
/// requests["200", "GET"].increment()
/// print(registry.expose())
/// ```
public final class MetricsRegistry: Sendable {
    private struct State {
        var families: [String: any ExposableFamily] = [:]
        var collectors: [@Sendable () -> Void] = []
    }

    private let state = Mutex(State())

    public init() {}

    /// A value that only grows.
    ///
    /// - Precondition: `name` and `labels` are valid Prometheus names and agree with an earlier family of this name.
    public func counter(_ name: String, help: String, labels: [String] = []) -> CounterFamily {
        family(name, help: help, labels: labels) { Counter() }
    }

    /// A value that goes up and down.
    ///
    /// - Precondition: as for ``counter(_:help:labels:)``.
    public func gauge(_ name: String, help: String, labels: [String] = []) -> GaugeFamily {
        family(name, help: help, labels: labels) { Gauge() }
    }

    /// A distribution over `buckets`, the ascending upper bounds without the infinite one.
    ///
    /// - Precondition: as for ``counter(_:help:labels:)``; `labels` has no `le`.
    public func histogram(
        _ name: String, help: String, labels: [String] = [], buckets: [Double] = Histogram.standardBuckets
    ) -> HistogramFamily {
        precondition(!labels.contains("le"), "a histogram's buckets use the label le themselves")
        return family(name, help: help, labels: labels) { Histogram(buckets: buckets) }
    }

    /// Adds a collector that runs before each exposition and sets gauges that no other code updates. It must be quick
    /// and must not call ``onCollect(_:)`` or ``expose()``.
    public func onCollect(_ collector: @escaping @Sendable () -> Void) {
        state.withLock { $0.collectors.append(collector) }
    }

    /// All metrics in the text exposition format 0.0.4, families and children sorted by name.
    /// <https://prometheus.io/docs/instrumenting/exposition_formats/>
    ///
    /// Serve it as ``contentType``.
    public func expose() -> String {
        let (collectors, families) = state.withLock { ($0.collectors, $0.families.values.sorted { $0.name < $1.name }) }
        for collect in collectors { collect() }
        var text = ""
        for family in families { family.expose(into: &text) }
        return text
    }

    /// The media type of ``expose()``.
    public static let contentType = "text/plain; version=0.0.4; charset=utf-8"

    private func family<M: Metric>(_ name: String, help: String, labels: [String], make: @escaping @Sendable () -> M)
        -> MetricFamily<M>
    {
        precondition(PrometheusText.isName(name, colons: true), "\(name) is not a metric's name")
        precondition(
            labels.allSatisfy { PrometheusText.isName($0, colons: false) },
            "\(name) has a label that is not a label's name"
        )
        return state.withLock { state in
            if let known = state.families[name] {
                guard let known = known as? MetricFamily<M>, known.labels == labels else {
                    preconditionFailure("\(name) is registered already, with another type or other labels")
                }
                return known
            }
            let family = MetricFamily<M>(name: name, help: help, labels: labels, make: make)
            state.families[name] = family
            return family
        }
    }
}

/// The registry's view of a family.
protocol ExposableFamily: Sendable {
    var name: String { get }
    func expose(into text: inout String)
}
