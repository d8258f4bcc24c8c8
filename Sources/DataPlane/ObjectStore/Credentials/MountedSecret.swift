internal import Crypto
internal import FoundationEssentials
internal import StoreHost
internal import TextCoding

/// A Secret of Kubernetes with a store's keys, as the pods of warm-up and listing Jobs mount it: a file for each entry.
///
/// The volume is optional, so a missing Secret is an empty folder, and the kubelet renews the files. The names of the
/// entries are found at each reading; nobody need know them before.
public struct MountedSecret: Sendable, Hashable {
    /// The variable that names the volume's folder.
    public static let folderVariable = "MODELCACHE_SECRET_FOLDER"
    /// The variable with the Secret's name, for messages.
    public static let nameVariable = "MODELCACHE_SECRET_NAME"

    public let credentials: StoreCredentials
    /// Another one for other entries or values, but for one change in 65536.
    ///
    /// It stands in the status of pods and on Jobs, where more may read it than may read the Secret. Sixteen bits of a
    /// hash say too little to guess even a weak key by.
    public let version: String

    /// Why the entries are no keys of a store: one line with the remedy, without their values.
    public struct Problem: Error, Sendable, Hashable, CustomStringConvertible {
        public enum Kind: String, Sendable, Hashable {
            case notFound = "secretNotFound"
            case invalid = "secretInvalid"
        }
        public let kind: Kind
        public let description: String

        public init(_ kind: Kind, _ description: String) {
            self.kind = kind
            self.description = description
        }
    }

    /// Finds the keys among the entries; of several pairs the first in the order of ``SecretKeys``.
    ///
    /// - Parameter name: the Secret's.
    public init(entries: [String: [UInt8]], name: String) throws(Problem) {
        func invalid(_ text: String) -> Problem { Problem(.invalid, text) }
        func value(_ key: String) throws(Problem) -> String? {
            guard let bytes = entries[key], !bytes.isEmpty else { return nil }
            // A trailing newline is what `echo secret | base64` leaves. The store would refuse the key for it.
            guard let text = String(validating: bytes, as: UTF8.self),
                !text.unicodeScalars.contains(where: { $0.value <= 0x20 || $0.value == 0x7f })
            else {
                throw invalid(
                    "entry \(key) of Secret \(name) holds a blank, a line break or bytes that are no text; write the key alone, "
                        + "for example with kubectl create secret generic --from-literal")
            }
            return text
        }
        guard !entries.isEmpty else {
            throw Problem(
                .notFound,
                "there is no Secret \(name) in the ModelCache's namespace, or it is empty; create it with entries "
                    + "OSS_ACCESS_KEY_ID and OSS_ACCESS_KEY_SECRET")
        }
        for (index, idName) in SecretKeys.accessKeyID.enumerated() {
            let (secretName, tokenName) = (SecretKeys.accessKeySecret[index], SecretKeys.sessionToken[index])
            switch (try value(idName), try value(secretName)) {
            case (nil, nil): continue
            case (let id?, let secret?):
                let token = try value(tokenName)
                let expiration = try Self.expiration(entries[SecretKeys.expiration], name)
                credentials = StoreCredentials(keyID: id, secret: secret, token: token, expiration: expiration)
                version = Self.version([idName, id, secret, token ?? "", expiration.map { "\($0)" } ?? ""])
                return
            case (let id, _):
                let (found, missing) = id == nil ? (secretName, idName) : (idName, secretName)
                throw invalid("Secret \(name) has \(found) and not \(missing); add the missing entry")
            }
        }
        let found = entries.keys.sorted().prefix(5).joined(separator: ", ").prefix(200)
        throw invalid(
            "Secret \(name) has no entries OSS_ACCESS_KEY_ID and OSS_ACCESS_KEY_SECRET (it has \(found)); add them")
    }

    /// Reads the folder that ``folderVariable`` names; nil where none is named.
    public static func read(environment: [String: String]) throws(Problem) -> MountedSecret? {
        guard let folder = environment[folderVariable], !folder.isEmpty else { return nil }
        let name = environment[nameVariable] ?? folder
        var entries: [String: [UInt8]] = [:]
        for entry in (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? [] {
            // The kubelet's own begin with two dots: what the links of the entries go through.
            guard !entry.hasPrefix("..") else { continue }
            do throws(CredentialsFile.Problem) {
                let bytes = try CredentialsFile.bytes(of: "\(folder)/\(entry)", limit: CredentialsFile.maximumBytes)
                entries[entry] = bytes
            } catch {
                // An entry that is no key may be of any size. One that went with the folder's renewal is missing.
                entries[entry] = known.contains(entry) ? nil : []
            }
        }
        return try MountedSecret(entries: entries, name: name)
    }

    /// The settings of the source with these keys, whatever the Secret's entries are called.
    public var settings: [String: String] {
        var settings = ["OSS_ACCESS_KEY_ID": credentials.keyID, "OSS_ACCESS_KEY_SECRET": credentials.secret]
        settings["OSS_SESSION_TOKEN"] = credentials.token
        return settings
    }

    private static let known = Set(
        SecretKeys.accessKeyID + SecretKeys.accessKeySecret + SecretKeys.sessionToken + [SecretKeys.expiration])

    private static func version(_ parts: [String]) -> String {
        let text = parts.map { "\($0.utf8.count):\($0)" }.joined()
        return Hex.encode(SHA256.hash(data: Array("modelcache secret\n\(text)".utf8)).prefix(2))
    }

    private static func expiration(_ entry: [UInt8]?, _ name: String) throws(Problem) -> Int64? {
        guard let entry, !entry.isEmpty else { return nil }
        guard let text = String(validating: entry, as: UTF8.self), let time = UTCTime(iso8601: text) else {
            throw Problem(
                .invalid,
                "entry \(SecretKeys.expiration) of Secret \(name) is no time such as 2026-11-21T05:43:40Z; correct or remove it"
            )
        }
        return time.seconds
    }
}
