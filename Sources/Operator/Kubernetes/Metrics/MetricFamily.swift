internal import Synchronization
internal import TextCoding

/// One kind of metric: ``Counter``, ``Gauge`` or ``Histogram``.
public protocol Metric: Sendable {
    /// The word after `# TYPE`.
    static var type: String { get }
    /// Appends this child's lines. The caller has written `labels` already, without braces: `a="1",b="2"`.
    func expose(name: String, labels: String, into text: inout String)
}

public typealias CounterFamily = MetricFamily<Counter>
public typealias GaugeFamily = MetricFamily<Gauge>
public typealias HistogramFamily = MetricFamily<Histogram>

/// All metrics of one name, one child for each set of label values.
public final class MetricFamily<M: Metric>: ExposableFamily {
    public let name: String
    public let help: String
    /// The labels' names, in the order of the subscript's values.
    public let labels: [String]
    private let make: @Sendable () -> M
    private let children = Mutex<[[String]: M]>([:])

    init(name: String, help: String, labels: [String], make: @escaping @Sendable () -> M) {
        self.name = name
        self.help = help
        self.labels = labels
        self.make = make
    }

    /// The child with these label values, created at zero on first use. On a hot path, keep it: finding it takes a
    /// lock.
    ///
    /// - Precondition: as many values as ``labels``.
    public subscript(_ values: String...) -> M {
        precondition(values.count == labels.count, "\(name) has the labels \(labels)")
        return children.withLock { children in
            if let known = children[values] { return known }
            let child = make()
            children[values] = child
            return child
        }
    }

    /// Removes a child, for label values that will not return.
    public func remove(_ values: String...) {
        children.withLock { _ = $0.removeValue(forKey: values) }
    }

    func expose(into text: inout String) {
        let children = children.withLock { $0 }.sorted { $0.key.lexicographicallyPrecedes($1.key) }
        guard !children.isEmpty else { return }
        text += PrometheusText.head(name, type: M.type, help: help)
        for (values, child) in children {
            child.expose(name: name, labels: PrometheusText.labels(zip(labels, values)), into: &text)
        }
    }
}

extension MetricFamily where M == Gauge {
    /// Replaces all children at once: for gauges of objects that come and go.
    ///
    /// - Precondition: each key has as many values as ``labels``.
    public func replace(with values: [[String]: Double]) {
        precondition(values.keys.allSatisfy { $0.count == labels.count }, "\(name) has the labels \(labels)")
        let gauges = values.mapValues { value in
            let gauge = Gauge()
            gauge.set(value)
            return gauge
        }
        children.withLock { $0 = gauges }
    }
}
