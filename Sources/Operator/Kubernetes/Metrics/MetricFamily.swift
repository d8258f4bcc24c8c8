internal import Synchronization

/// One kind of metric: ``Counter``, ``Gauge`` or ``Histogram``.
public protocol Metric: Sendable {
    /// The word after `# TYPE`.
    static var type: String { get }
    /// Appends this child's lines. `labels` are written already, without braces: `a="1",b="2"`.
    func expose(name: String, labels: String, into text: inout String)
}

public typealias CounterFamily = MetricFamily<Counter>
public typealias GaugeFamily = MetricFamily<Gauge>
public typealias HistogramFamily = MetricFamily<Histogram>

/// All metrics of one name, one child for each set of label values.
public final class MetricFamily<M: Metric>: ExposableFamily {
    public let name: String
    public let help: String
    /// The labels' names, in the order in which the subscript takes their values.
    public let labels: [String]
    private let make: @Sendable () -> M
    private let children = Mutex<[[String]: M]>([:])

    init(name: String, help: String, labels: [String], make: @escaping @Sendable () -> M) {
        self.name = name
        self.help = help
        self.labels = labels
        self.make = make
    }

    /// The child with these label values, made at zero on first use. Keep it where the path is hot: finding it takes a lock.
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

    /// Forgets a child, for label values that will not come back.
    public func remove(_ values: String...) {
        children.withLock { _ = $0.removeValue(forKey: values) }
    }

    func expose(into text: inout String) {
        let children = children.withLock { $0 }.sorted { $0.key.lexicographicallyPrecedes($1.key) }
        guard !children.isEmpty else { return }
        text += "# HELP \(name) \(Exposition.escapedHelp(help))\n# TYPE \(name) \(M.type)\n"
        for (values, child) in children {
            let pairs = zip(labels, values).map { "\($0)=\"\(Exposition.escapedLabel($1))\"" }.joined(separator: ",")
            child.expose(name: name, labels: pairs, into: &text)
        }
    }
}

/// How names, labels and numbers are written in the text exposition format 0.0.4.
enum Exposition {
    static func sample(_ name: String, _ labels: String, _ value: Double) -> String {
        labels.isEmpty ? "\(name) \(number(value))\n" : "\(name){\(labels)} \(number(value))\n"
    }

    static func number(_ value: Double) -> String {
        if value.isNaN { return "NaN" }
        if value.isInfinite { return value < 0 ? "-Inf" : "+Inf" }
        return value == value.rounded() && value.magnitude < 1e15 ? String(Int64(value)) : String(value)
    }

    static func escapedLabel(_ value: String) -> String {
        guard value.utf8.contains(where: { $0 == UInt8(ascii: "\\") || $0 == UInt8(ascii: "\"") || $0 == UInt8(ascii: "\n") }) else { return value }
        return escaped(value, quotes: true)
    }

    static func escapedHelp(_ text: String) -> String { escaped(text, quotes: false) }

    /// Scalar by scalar: a carriage return and a newline are one Character, whose newline would be missed.
    private static func escaped(_ text: String, quotes: Bool) -> String {
        var out = ""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\\": out += "\\\\"
            case "\n": out += "\\n"
            case "\"" where quotes: out += "\\\""
            default: out.unicodeScalars.append(scalar)
            }
        }
        return out
    }

    static func isName(_ name: String, colons: Bool) -> Bool {
        guard let first = name.utf8.first, !(UInt8(ascii: "0")...UInt8(ascii: "9")).contains(first) else { return false }
        return name.utf8.allSatisfy { byte in
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"): true
            case UInt8(ascii: ":"): colons
            default: false
            }
        }
    }
}
