public import Foundation
internal import TextCoding

/// The configuration file of the OSS Connector, `/etc/oss-connector/config.json`, read as it is documented.
///
/// Every member may be absent. Unknown members are ignored, as the connector ignores them; a known one of the wrong
/// type or out of range is an error that names it.
public struct ConnectorConfig: Equatable, Sendable {
    /// Where the connector's packages install the file.
    public static let defaultPath = "/etc/oss-connector/config.json"
    /// Names another file.
    public static let pathVariable = "MODELCACHE_CONFIG"

    /// 0 debug, 1 info, 2 warning, 3 error.
    public var logLevel: Int?
    public var logPath: String?
    /// One JSON line for each model opened, filled, failed or evicted.
    public var auditPath: String?
    /// How long a model that nobody uses stays in memory.
    public var expireTimeSeconds: Int?
    /// Threads that receive from the store.
    public var prefetchVCPUs: Int?
    /// The most ranged GETs in flight.
    public var prefetchWorkers: Int?

    public init() {}

    /// - Throws: ``SettingError`` that names the member, its value and the remedy.
    public init(json data: Data, path: String) throws {
        let object: Any
        do {
            object = try JSONSerialization.jsonObject(with: data)
        } catch {
            throw SettingError(
                field: path, value: nil, problem: "is not valid JSON",
                remedy: "correct the file, or remove it to use the defaults")
        }
        guard let root = object as? [String: Any] else {
            throw SettingError(
                field: path, value: nil, problem: "is not a JSON object",
                remedy: "write { … } as in the OSS Connector's documentation")
        }
        func number(_ container: [String: Any], _ key: String, name: String, in range: ClosedRange<Int>) throws -> Int?
        {
            guard let value = container[key], !(value is NSNull) else { return nil }
            // Here a 0 or 1 of JSON casts to Bool too; what was written is told by the number's own type, "c" for true
            // and false.
            let isTruthValue = (value as? NSNumber).map { String(cString: $0.objCType) } == "c"
            guard let number = value as? Int, !isTruthValue, range.contains(number) else {
                throw SettingError(
                    field: "\(name) in \(path)", value: nil, problem: "is \(value)",
                    remedy: "set a whole number from \(range.lowerBound) to \(range.upperBound)")
            }
            return number
        }
        func string(_ key: String) throws -> String? {
            guard let value = root[key], !(value is NSNull) else { return nil }
            guard let text = value as? String else {
                throw SettingError(
                    field: "\(key) in \(path)", value: nil, problem: "is \(value)", remedy: "set a string")
            }
            return text.isEmpty ? nil : text
        }
        logLevel = try number(root, "logLevel", name: "logLevel", in: 0...4)
        logPath = try string("logPath")
        auditPath = try string("auditPath")
        expireTimeSeconds = try number(root, "expireTimeSec", name: "expireTimeSec", in: 0...31_536_000)
        if let value = root["prefetch"], !(value is NSNull) {
            guard let prefetch = value as? [String: Any] else {
                throw SettingError(
                    field: "prefetch in \(path)", value: nil, problem: "is \(value)",
                    remedy: "set an object with vcpus and workers")
            }
            prefetchVCPUs = try number(prefetch, "vcpus", name: "prefetch.vcpus", in: 1...1024)
            prefetchWorkers = try number(prefetch, "workers", name: "prefetch.workers", in: 1...4096)
        }
    }

    /// The file that `environment` names, or the default one.
    public static func path(environment: [String: String]) -> String {
        environment[pathVariable].flatMap { $0.isEmpty ? nil : $0 } ?? defaultPath
    }

    /// Reads the file that `environment` names, or the default one. The default one may be absent.
    ///
    /// - Throws: ``SettingError``.
    public static func load(environment: [String: String]) throws -> ConnectorConfig {
        let path = path(environment: environment)
        guard FileManager.default.fileExists(atPath: path) else {
            if path == defaultPath { return ConnectorConfig() }
            throw SettingError(
                field: pathVariable, value: nil, problem: "names \(path), which does not exist",
                remedy: "name a configuration file, or unset it")
        }
        guard let data = FileManager.default.contents(atPath: path), data.count <= 1 << 20 else {
            throw SettingError(
                field: path, value: nil, problem: "cannot be read",
                remedy: "make it readable, a regular file below 1 MiB")
        }
        return try ConnectorConfig(json: data, path: path)
    }
}
