import FoundationEssentials

/// The two shapes of a credentials file. Errors never show the contents.
enum CredentialsFile {
    private struct Document: Decodable {
        var AccessKeyId: String
        var AccessKeySecret: String?
        var SecretAccessKey: String?
        var SecurityToken: String?
        var SessionToken: String?
        var Expiration: String?
    }

    static func read(_ path: String) throws(SettingError) -> StoreCredentials {
        func wrong(_ problem: String) -> SettingError {
            SettingError(
                field: "OSS_CREDENTIALS_FILE", value: path, problem: problem,
                remedy: "write AccessKeyId and AccessKeySecret as JSON, or lines OSS_ACCESS_KEY_ID=... and OSS_ACCESS_KEY_SECRET=...")
        }
        guard let data = try? Data(contentsOf: URL(filePath: path)), data.count <= 64 * 1024 else {
            throw wrong("cannot be read")
        }
        guard let credentials = parse(data), !credentials.keyID.isEmpty, !credentials.secret.isEmpty else {
            throw wrong("holds no key pair")
        }
        return credentials
    }

    static func parse(_ data: Data) -> StoreCredentials? {
        if let document = try? JSONDecoder().decode(Document.self, from: data) {
            guard let secret = document.AccessKeySecret ?? document.SecretAccessKey else { return nil }
            return StoreCredentials(
                keyID: document.AccessKeyId, secret: secret, token: document.SecurityToken ?? document.SessionToken,
                expiration: document.Expiration.flatMap { UTCTime(iso8601: $0)?.seconds })
        }
        var values: [Substring: String] = [:]
        for line in String(decoding: data, as: UTF8.self).split(whereSeparator: \.isNewline) where !line.hasPrefix("#") {
            guard let equals = line.firstIndex(of: "=") else { continue }
            values[line[..<equals]] = String(line[line.index(after: equals)...])
        }
        guard let id = values["OSS_ACCESS_KEY_ID"], let secret = values["OSS_ACCESS_KEY_SECRET"] else { return nil }
        return StoreCredentials(
            keyID: id, secret: secret, token: values["OSS_SESSION_TOKEN"].flatMap { $0.isEmpty ? nil : $0 })
    }
}
