internal import CRD
public import Kubernetes
public import ObjectStore

extension SecretView {
    /// Finds the store's keys in a Secret. What is wrong is told by the entries' names, never their values.
    public static func read(_ secret: Secret) throws(SourceFailure) -> (view: SecretView, credentials: StoreCredentials) {
        let name = secret.objectKey.name
        let data = secret.data ?? [:]
        func value(_ key: String) throws(SourceFailure) -> String? {
            guard let bytes = data[key], !bytes.bytes.isEmpty else { return nil }
            // A trailing newline is what `echo secret | base64` leaves; the pod would send it, so it is said, not forgiven.
            guard let text = bytes.text, !text.unicodeScalars.contains(where: { $0.value <= 0x20 || $0.value == 0x7f }) else {
                throw SourceFailure(
                    .secretInvalid,
                    "entry \(key) of Secret \(name) holds a blank, a line break or bytes that are no text; write the key alone, "
                        + "for example with kubectl create secret generic --from-literal")
            }
            return text
        }
        for (index, idName) in SecretKeys.accessKeyID.enumerated() {
            let keys = Keys(
                keyID: idName, secret: SecretKeys.accessKeySecret[index], token: SecretKeys.sessionToken[index])
            let (id, secretKey) = (try value(keys.keyID), try value(keys.secret))
            if let id, let secretKey {
                let token = try value(keys.token)
                return (
                    SecretView(name: name, resourceVersion: secret.resourceVersion, keys: keys),
                    StoreCredentials(keyID: id, secret: secretKey, token: token)
                )
            }
            guard id == nil, secretKey == nil else {
                throw SourceFailure(
                    .secretInvalid,
                    "Secret \(name) has \(id == nil ? keys.secret : keys.keyID) and not \(id == nil ? keys.keyID : keys.secret); "
                        + "add the missing entry")
            }
        }
        let found = data.keys.sorted().prefix(5).joined(separator: ", ")
        throw SourceFailure(
            .secretInvalid,
            "Secret \(name) has no entries OSS_ACCESS_KEY_ID and OSS_ACCESS_KEY_SECRET"
                + (found.isEmpty ? " (it is empty)" : " (it has \(Words.line(found, limit: 200)))") + "; add them")
    }
}
