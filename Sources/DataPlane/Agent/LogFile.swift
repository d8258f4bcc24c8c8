internal import FoundationEssentials
internal import Glibc
internal import LogOutput
internal import Logging
internal import TextCoding

/// The agent's log and audit log, where its settings put them.
package enum LogFile {
    /// Creates missing folders, appends, mode 0600.
    ///
    /// - Returns: a descriptor that the caller owns.
    /// - Throws: ``SettingError`` that names the setting.
    static func open(_ path: String, setting: String) throws -> Int32 {
        if let slash = path.lastIndex(of: "/"), slash != path.startIndex {
            try? FileManager.default.createDirectory(
                atPath: String(path[..<slash]), withIntermediateDirectories: true)
        }
        let descriptor = Glibc.open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else {
            throw SettingError(
                field: setting, value: path, problem: "cannot be written (\(String(cString: strerror(errno))))",
                remedy: "name a file in a folder that may be written, or remove the setting")
        }
        return descriptor
    }

    /// Sends every logger of the process to the file of the settings or to standard error. To be called once, first.
    ///
    /// - Throws: ``SettingError`` when the file cannot be written.
    package static func bootstrap(_ options: AgentOptions) throws {
        let levels: [Logger.Level] = [.debug, .info, .warning, .error, .critical]
        LogOutput.bootstrap(
            level: levels[min(max(0, options.logLevel), levels.count - 1)], format: options.logFormat,
            to: try options.logPath.map { try open($0, setting: "logPath") })
    }
}
