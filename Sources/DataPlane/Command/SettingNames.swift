/// A message about a setting, under the name by which the person set it.
enum SettingNames {
    /// The flags that stand for variables of the environment.
    private static let flags = [
        "OSS_PATH": "--source", "OSS_ENDPOINT": "--endpoint", "OSS_REGION": "--region",
        "MODELCACHE_INCLUDE": "--include", "MODELCACHE_ADDRESSING": "--addressing",
        "MODELCACHE_REQUEST_PAYER": "--requester-pays", "MODELCACHE_ROOT": "--root", "MODELCACHE_SOCKET": "--socket",
    ]

    /// A message that begins with a variable, as those of `SettingError` and of agents do, begins with the flag where
    /// `arguments` have it. Where neither is set it begins with both names.
    static func told(_ message: String, by arguments: [String] = CommandLine.arguments) -> String {
        guard let variable = flags.keys.first(where: { message.hasPrefix("\($0):") || message.hasPrefix("\($0) \"") }),
            let flag = flags[variable]
        else { return message }
        let rest = message.dropFirst(variable.count)
        // Those of the program that `run` starts come after it.
        let own = arguments.prefix { $0 != "--" }
        if own.contains(where: { $0 == flag || $0.hasPrefix("\(flag)=") }) { return flag + rest }
        return rest.hasPrefix(": is not set") ? "\(flag) (or \(variable))\(rest)" : message
    }
}
