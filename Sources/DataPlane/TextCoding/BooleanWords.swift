/// Switches with a value, as kubectl, helm and Go's programs take them: `--watch=true`, `--watch=false`.
public struct BooleanWords: Sendable {
    /// Without dashes; a name of one letter has one dash, the others two.
    private let names: Set<String>
    /// Those that say no as `--no-NAME`; the others say no by being absent.
    private let negatable: Set<String>
    /// `-leader-elect` is `--leader-elect`, as Go's flag package has it.
    private let allowsOneDash: Bool

    public init(_ names: Set<String>, negatable: Set<String> = [], allowsOneDash: Bool = false) {
        self.names = names.union(negatable)
        self.negatable = negatable
        self.allowsOneDash = allowsOneDash
    }

    /// `--switch=true` as `--switch`, and `--switch=false` left out or as `--no-switch`.
    ///
    /// The words are those of ``value(of:)``. Arguments after `--` are another program's, and all others stay as they
    /// are.
    public func rewritten(_ arguments: [String]) -> [String] {
        let own = arguments.prefix { $0 != "--" }
        return own.compactMap(rewritten) + arguments.dropFirst(own.count)
    }

    private func rewritten(_ argument: String) -> String? {
        let parts = argument.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
        let name = String(parts[0].drop { $0 == "-" })
        let dashes = parts[0].count - name.count
        let usual = name.count == 1 ? 1 : 2
        guard names.contains(name), dashes == usual || allowsOneDash && dashes == 1 else { return argument }
        let written = String(repeating: "-", count: usual) + name
        switch parts.count == 2 ? Self.value(of: parts[1]) : true {
        case true: return written
        case false: return negatable.contains(name) ? "--no-\(name)" : nil
        default: return argument
        }
    }

    /// The words of Go's `strconv.ParseBool`, and `yes` and `no`, in any case of letters. Nil: it is none of them.
    public static func value(of text: some StringProtocol) -> Bool? {
        switch text.lowercased() {
        case "true", "t", "1", "yes": true
        case "false", "f", "0", "no": false
        default: nil
        }
    }
}
