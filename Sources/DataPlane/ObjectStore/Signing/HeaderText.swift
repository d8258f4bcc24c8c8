internal import TextCoding

/// The rules for the text of a header line.
///
/// A line break in a value would end the line and begin one of the value's own making, and libcurl sends what it is
/// given; a NUL would cut it short. So nothing with a control character is sent (RFC 9110, 5.5).
package enum HeaderText {
    package static func isSafe(_ text: String) -> Bool { text.utf8.allSatisfy { $0 >= 0x20 && $0 != 0x7f } }

    /// Whether the text fits between the quotes of `If-Match` (RFC 9110, 8.8.3): besides, no quote, which would begin a
    /// second tag. A weak tag (`W/"x"`) never matches there, so it does not fit either.
    package static func isEntityTag(_ text: String) -> Bool {
        text.utf8.allSatisfy { $0 > 0x20 && $0 != 0x7f && $0 != 0x22 }
    }
}

extension SignableRequest {
    /// The first part that cannot be sent as it is; nil when all can.
    func unsendable() -> StoreError? {
        if let tag = headers["if-match"] {
            guard tag.utf8.count >= 2, HeaderText.isEntityTag(String(tag.dropFirst().dropLast())) else {
                return StoreError(
                    .malformedAnswer,
                    detail: "\(key ?? bucket): its entity tag holds a quote, blank or control character",
                    remedy: "check what answers at OSS_ENDPOINT")
            }
        }
        for (name, value) in headers where !HeaderText.isSafe(name) || !HeaderText.isSafe(value) {
            let origin =
                switch name {
                case "authorization": "OSS_ACCESS_KEY_ID or OSS_REGION"
                case _ where name.hasSuffix("security-token"): "OSS_SESSION_TOKEN"
                default: "the header \(name)"
                }
            return StoreError(
                .settings, detail: "\(origin) holds a control character", remedy: "remove it, a line's end included")
        }
        guard HeaderText.isSafe(host), HeaderText.isSafe(path), !host.utf8.contains(0x20), !path.utf8.contains(0x20)
        else {
            return StoreError(.settings, detail: "OSS_ENDPOINT holds a control character or blank", remedy: "remove it")
        }
        return nil
    }
}

extension StoreCredentials {
    /// Throws for the first part that could not be sent or signed with, by the name that the person knows it by.
    func checked(
        _ idName: String = "OSS_ACCESS_KEY_ID", _ secretName: String = "OSS_ACCESS_KEY_SECRET",
        _ tokenName: String = "OSS_SESSION_TOKEN"
    ) throws(SettingError) -> StoreCredentials {
        for (field, value) in [(idName, keyID), (secretName, secret), (tokenName, token ?? "")]
        where !HeaderText.isSafe(value) {
            throw SettingError(
                field: field, value: nil, problem: "holds a control character",
                remedy: "remove it; a line's end at the value's end counts")
        }
        return self
    }
}
