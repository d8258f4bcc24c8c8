internal import AgentAPI
internal import TextCoding

/// Readers of an agent's settings: a flag where there is one, else the variable of the environment. Their errors name
/// the one that was at fault.
struct AgentSettings {
    let environment: [String: String]

    /// The value, and the name under which a person wrote it.
    func text(_ flag: String?, _ variable: String) -> (value: String, name: String)? {
        if let flag { return (flag, Self.flagName(variable)) }
        return AgentOptions.nonEmpty(environment[variable]).map { ($0, variable) }
    }

    /// `file`: what the configuration file says, which is the last to be asked.
    func number(_ flag: Int?, _ variable: String, _ file: Int?, in range: ClosedRange<Int>) throws -> Int? {
        if let flag { return try Self.checked(flag, Self.flagName(variable), range) }
        guard let raw = AgentOptions.nonEmpty(environment[variable]) else { return file }
        guard let value = Int(raw) else {
            throw SettingError(field: variable, value: nil, problem: "is '\(raw)'", remedy: "set a whole number")
        }
        return try Self.checked(value, variable, range)
    }

    func bytes(_ flag: String?, _ variable: String, atLeast minimum: Int64) throws -> Int64? {
        guard let (raw, name) = text(flag, variable) else { return nil }
        guard let value = ByteCount.parse(raw), value >= minimum else {
            throw SettingError(
                field: name, value: nil, problem: "is '\(raw)'",
                remedy: "set a size of at least \(ByteCount.format(minimum)), such as 64GiB")
        }
        return value
    }

    func choice<T: RawRepresentable & CaseIterable>(_ flag: String?, _ variable: String, _ fallback: T) throws -> T
    where T.RawValue == String {
        guard let (raw, name) = text(flag, variable) else { return fallback }
        guard let value = T(rawValue: raw.lowercased()) else {
            throw SettingError(
                field: name, value: nil, problem: "is '\(raw)'",
                remedy: "set one of \(T.allCases.map(\.rawValue).joined(separator: ", "))")
        }
        return value
    }

    /// Off where the variable is absent or empty.
    func isOn(_ variable: String) throws -> Bool {
        guard let raw = AgentOptions.nonEmpty(environment[variable]) else { return false }
        guard let value = BooleanWords.value(of: raw) else {
            throw SettingError(field: variable, value: nil, problem: "is '\(raw)'", remedy: "set true or false")
        }
        return value
    }

    /// `address:port` of a server that is not there when the setting is `off` or absent.
    func address(_ flag: String?, _ variable: String, such example: String) throws -> String? {
        guard let (raw, name) = text(flag, variable), raw != "off" else { return nil }
        guard let colon = raw.lastIndex(of: ":"), let port = Int(raw[raw.index(after: colon)...]),
            (0...65535).contains(port)
        else {
            throw SettingError(
                field: name, value: nil, problem: "is '\(raw)'",
                remedy: "set address:port, such as \(example), or off")
        }
        return raw
    }

    private static func flagName(_ variable: String) -> String {
        "--" + variable.lowercased().replacing("modelcache_", with: "").replacing("_", with: "-")
    }

    private static func checked(_ value: Int, _ name: String, _ range: ClosedRange<Int>) throws -> Int {
        guard range.contains(value) else {
            throw SettingError(
                field: name, value: nil, problem: "is \(value)",
                remedy: "set a whole number from \(range.lowerBound) to \(range.upperBound)")
        }
        return value
    }
}
