/// Other operators are written in Go, whose flag package takes `--leader-elect=true` and `-leader-elect`; people's manifests say so.
enum GoFlags {
    private static let switches = ["leader-elect", "allow-loopback-endpoints"]

    /// `--switch=true` as `--switch`, `--switch=false` as `--no-switch`; the rest untouched.
    static func rewritten(_ arguments: [String]) -> [String] {
        arguments.map { argument in
            for name in switches {
                switch argument {
                case "--\(name)=true", "--\(name)=1": return "--\(name)"
                case "--\(name)=false", "--\(name)=0": return "--no-\(name)"
                default: break
                }
            }
            return argument
        }
    }
}

/// Durations as Go writes them: `15s`, `1m30s`, `500ms`, `1.5h`.
enum GoDuration {
    private static let units: [(name: String, seconds: Double)] = [("ms", 0.001), ("h", 3600), ("m", 60), ("s", 1)]

    static func parse(_ text: String) -> Duration? {
        var rest = Substring(text)
        var seconds = 0.0
        guard !rest.isEmpty else { return nil }
        while !rest.isEmpty {
            let digits = rest.prefix { $0.isASCII && ($0.isNumber || $0 == ".") }
            guard let number = Double(digits), number.isFinite else { return nil }
            rest = rest.dropFirst(digits.count)
            guard let unit = units.first(where: { rest.hasPrefix($0.name) }) else { return nil }
            rest = rest.dropFirst(unit.name.count)
            seconds += number * unit.seconds
        }
        return seconds <= 1e9 ? .milliseconds(Int64((seconds * 1000).rounded())) : nil
    }
}
