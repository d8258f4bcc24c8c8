import FoundationEssentials

/// Keys that other tools keep in a person's home: `~/.aws` for `s3://`, `~/.ossutilconfig` and `~/.aliyun/config.json`
/// for `oss://`. For commands that a person starts; an agent reads no home.
///
/// A pure value over a way to read a file: nothing is read where the environment names keys, a file of keys or a role
/// already.
public struct CredentialProfiles {
    /// Contents of a file, nil when there is none.
    private let read: (String) -> String?

    public init(read: @escaping (String) -> String?) { self.read = read }

    /// The environment with what the profiles add: keys, and region or endpoint where none is set.
    ///
    /// `AWS_PROFILE` names the profile of `~/.aws/credentials` and `~/.aws/config` (`default` otherwise), which
    /// `AWS_SHARED_CREDENTIALS_FILE` and `AWS_CONFIG_FILE` may move; `OSSUTIL_CONFIG_FILE` moves `~/.ossutilconfig`.
    public func completed(_ environment: [String: String], scheme: StoreScheme) -> [String: String] {
        func isSet(_ name: String) -> Bool { !(environment[name] ?? "").isEmpty }
        var names = [
            "OSS_CREDENTIALS_FILE", "OSS_ACCESS_KEY_ID", "OSS_ACCESS_KEY_SECRET", "MODELCACHE_CREDENTIALS",
        ]
        let role: [String]
        switch scheme {
        case .oss:
            names += ["ALIBABA_CLOUD_ACCESS_KEY_ID", "ALIBABA_CLOUD_ACCESS_KEY_SECRET"]
            role = ["ALIBABA_CLOUD_ROLE_ARN", "ALIBABA_CLOUD_OIDC_PROVIDER_ARN", "ALIBABA_CLOUD_OIDC_TOKEN_FILE"]
        case .s3:
            names += ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"]
            role = ["AWS_ROLE_ARN", "AWS_WEB_IDENTITY_TOKEN_FILE"]
        }
        guard !names.contains(where: isSet), !role.allSatisfy(isSet), let home = environment["HOME"], !home.isEmpty
        else { return environment }
        let found =
            scheme == .s3 ? amazon(environment, home) : ossutil(environment, home) ?? aliyun(environment, home) ?? [:]
        return environment.merging(found.filter { !isSet($0.key) }) { $1 }
    }

    private func amazon(_ environment: [String: String], _ home: String) -> [String: String] {
        let profile = environment["AWS_PROFILE"].flatMap { $0.isEmpty ? nil : $0 } ?? "default"
        let keys = sections(environment["AWS_SHARED_CREDENTIALS_FILE"] ?? "\(home)/.aws/credentials")[profile] ?? [:]
        let config = sections(environment["AWS_CONFIG_FILE"] ?? "\(home)/.aws/config")
        let settings = config[profile] ?? config["profile \(profile)"] ?? [:]
        func value(_ name: String) -> String? { keys[name] ?? settings[name] }
        guard let id = value("aws_access_key_id"), let secret = value("aws_secret_access_key") else { return [:] }
        var found = ["AWS_ACCESS_KEY_ID": id, "AWS_SECRET_ACCESS_KEY": secret]
        found["AWS_SESSION_TOKEN"] = value("aws_session_token")
        found["AWS_REGION"] = value("region")
        found["AWS_ENDPOINT_URL"] = value("endpoint_url")
        return found
    }

    /// https://www.alibabacloud.com/help/en/oss/developer-reference/configure-ossutil: version 1 has `accessKeyID` in a
    /// section `Credentials`, version 2 has `accessKeyId` in a section for each profile.
    private func ossutil(_ environment: [String: String], _ home: String) -> [String: String]? {
        let all = sections(environment["OSSUTIL_CONFIG_FILE"] ?? "\(home)/.ossutilconfig")
        let profile = environment["OSSUTIL_PROFILE"].flatMap { $0.isEmpty ? nil : $0 } ?? "default"
        guard let section = all["Credentials"] ?? all[profile] ?? all["profile \(profile)"] else { return nil }
        let values = Dictionary(section.map { ($0.key.lowercased(), $0.value) }) { first, _ in first }
        guard let id = values["accesskeyid"], let secret = values["accesskeysecret"] else { return nil }
        var found = ["OSS_ACCESS_KEY_ID": id, "OSS_ACCESS_KEY_SECRET": secret]
        found["OSS_SESSION_TOKEN"] = values["ststoken"]
        found["OSS_REGION"] = values["region"]
        found["OSS_ENDPOINT"] = values["endpoint"]
        return found
    }

    private struct AliyunFile: Decodable {
        struct Profile: Decodable {
            var name: String
            var access_key_id: String?
            var access_key_secret: String?
            var sts_token: String?
            var region_id: String?
        }
        var current: String?
        var profiles: [Profile]
    }

    /// https://www.alibabacloud.com/help/en/cli/configure-credentials; modes `AK` and `StsToken`.
    private func aliyun(_ environment: [String: String], _ home: String) -> [String: String]? {
        guard let text = read("\(home)/.aliyun/config.json"),
            let file = try? JSONDecoder().decode(AliyunFile.self, from: Data(text.utf8))
        else { return nil }
        let name = environment["ALIBABA_CLOUD_PROFILE"].flatMap { $0.isEmpty ? nil : $0 } ?? file.current ?? "default"
        guard let profile = file.profiles.first(where: { $0.name == name }), let id = profile.access_key_id,
            !id.isEmpty,
            let secret = profile.access_key_secret, !secret.isEmpty
        else { return nil }
        var found = ["OSS_ACCESS_KEY_ID": id, "OSS_ACCESS_KEY_SECRET": secret]
        if let token = profile.sts_token, !token.isEmpty { found["OSS_SESSION_TOKEN"] = token }
        if let region = profile.region_id, !region.isEmpty { found["OSS_REGION"] = region }
        return found
    }

    /// `[section]`, then `name = value`; `#` and `;` begin a comment line, an indented line belongs to the one before.
    private func sections(_ path: String) -> [String: [String: String]] {
        guard let text = read(path) else { return [:] }
        var all: [String: [String: String]] = [:]
        var section = ""
        for line in text.split(whereSeparator: \.isNewline) {
            guard let first = line.first, first != " ", first != "\t", first != "#", first != ";" else { continue }
            if first == "[", let end = line.firstIndex(of: "]") {
                section = Self.trimmed(line[line.index(after: line.startIndex)..<end])
            } else if let equals = line.firstIndex(of: "=") {
                let value = Self.trimmed(line[line.index(after: equals)...])
                if !value.isEmpty { all[section, default: [:]][Self.trimmed(line[..<equals])] = value }
            }
        }
        return all
    }

    private static func trimmed(_ text: Substring) -> String {
        var bytes = text.utf8[...]
        while bytes.first == 0x20 || bytes.first == 0x09 { bytes = bytes.dropFirst() }
        while bytes.last == 0x20 || bytes.last == 0x09 { bytes = bytes.dropLast() }
        return String(Substring(bytes))
    }
}
