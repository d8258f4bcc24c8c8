package import RangeTransfer

/// Turns an error answer of a store into a `StoreError`.
package enum StoreAnswer {
    /// A refusal of HEAD that the store does not explain: S3 gives 404 for a missing object and a missing bucket alike,
    /// and 403 also for an object that is missing where the key may not list.
    static func unexplained(_ bare: StoreError, subject: String, bucket: String) -> StoreError {
        func made(_ detail: String, _ remedy: String) -> StoreError {
            StoreError(
                bare.kind, detail: "\(subject): \(detail)", remedy: remedy, status: bare.status, code: bare.code,
                requestID: bare.requestID, retryAfter: bare.retryAfter)
        }
        switch bare.status {
        case 403:
            return made(
                "access denied: the key is unknown, its secret wrong, the clock off, or it may not read; or the object does not exist",
                "check OSS_ACCESS_KEY_ID, OSS_ACCESS_KEY_SECRET, the clock, and the key's rights on bucket \(bucket)")
        case 404:
            return made("neither it nor perhaps the bucket \(bucket) exists", "check the bucket and prefix in OSS_PATH")
        default: return bare
        }
    }

    package static func error(head: ResponseHead, body: [UInt8], subject: String) -> StoreError {
        let xml = AnswerXML.parse(body)
        let code = xml?.child("Code").map { String($0.prefix(100)) }
        let message = String((xml?.child("Message") ?? "").prefix(300))
        func made(_ kind: StoreError.Kind, _ detail: String, _ remedy: String = "") -> StoreError {
            StoreError(
                kind, detail: "\(subject): \(detail)", remedy: remedy, status: head.status, code: code,
                requestID: head.requestID ?? xml?.child("RequestId"), retryAfter: head.storeDelay)
        }
        let place = Place(region: head["x-amz-bucket-region"] ?? xml?.child("Region"), endpoint: xml?.child("Endpoint"))
        let kind = kind(code: code, message: message, status: head.status)
        let (detail, remedy) = words(kind, code: code ?? "", message: message, head: head, place: place)
        // An answer in another language than the store's may be a proxy's.
        return made(kind, code == nil ? detail + RangeCheck.intermediary(head) : detail, remedy)
    }

    /// Where the store says that the bucket is.
    private struct Place {
        let region: String?
        let endpoint: String?

        var remedy: String {
            let right = (region ?? endpoint).map { "use \($0.prefix(100))" } ?? "use the bucket's own"
            return "set OSS_ENDPOINT and OSS_REGION to the bucket's region: \(right)"
        }
    }

    /// A code that means two things is told apart by its message.
    private static func kind(code: String?, message: String, status: Int) -> StoreError.Kind {
        switch code {
        case "AccessDenied" where message.contains("must be addressed using the specified endpoint"): .wrongRegion
        case "AccessDenied" where namesKMS(message): .unreadable
        case "AccessDenied" where message.lowercased().contains("request has expired"): .clockSkew
        case "InvalidArgument" where message.lowercased().contains("region"): .wrongRegion
        case "InvalidRequest"
        where message.lowercased().contains("object was stored using a form of server side encryption"):
            .unreadable
        case let code?: StoreErrorTable.kind(code: code) ?? StoreErrorTable.kind(status: status)
        case nil: StoreErrorTable.kind(status: status)
        }
    }

    private static func namesKMS(_ message: String) -> Bool {
        let text = message.lowercased()
        return text.contains("kms:") || text.contains("kms key") || text.contains("customer master key")
    }

    private static func words(
        _ kind: StoreError.Kind, code: String, message: String, head: ResponseHead, place: Place
    ) -> (detail: String, remedy: String) {
        let said = message.isEmpty ? "the store refused" : message
        switch kind {
        case .wrongKey: return ("the store does not know the access key id", "check OSS_ACCESS_KEY_ID")
        case .wrongSecret: return ("the signature is wrong", "check OSS_ACCESS_KEY_SECRET and OSS_REGION")
        case .expiredToken: return ("the security token is expired or invalid", "renew OSS_SESSION_TOKEN with its keys")
        case .clockSkew:
            let off = head.date.map { " by \(abs(SystemClock.unixTime - $0.seconds)) s" } ?? ""
            return ("this machine's clock differs from the store's\(off)", "set the clock (NTP)")
        case .wrongRegion:
            if code == "InvalidArgument" { return ("the region of the signature is not the bucket's", place.remedy) }
            if code == "AccessDenied" { return ("the bucket is at another endpoint", place.remedy) }
            return (code.isEmpty ? "the store points elsewhere" : "the bucket is in another region", place.remedy)
        case .unreadable: return unreadable(code: code, message: message)
        case .accessDenied: return denied(said, message)
        case .noSuchBucket: return ("the bucket does not exist", "check the bucket in OSS_PATH")
        case .noSuchKey:
            return code.isEmpty
                ? ("not found", "check the bucket and prefix in OSS_PATH")
                : (
                    "the object does not exist (any more)",
                    "check OSS_PATH; an object that was deleted is left out at the next opening"
                )
        case .objectChanged: return ("was replaced at the store", "open the model again")
        case .throttled: return ("the store asks for fewer requests", "")
        case .server: return ("the store failed: \(message)", "")
        case .malformedAnswer: return ("unexpected status", "")
        case .settings where head.status == 407:
            return (
                "a proxy wants a name and a password, or refuses them",
                "write HTTP_PROXY=http://name:password@host:port, special characters as %XX"
            )
        default: return (said, "")
        }
    }

    private static func denied(_ said: String, _ message: String) -> (detail: String, remedy: String) {
        if message.lowercased().contains("requester pays") || message.lowercased().contains("request-payer") {
            return (
                "access denied: the requester pays in this bucket",
                "set MODELCACHE_REQUEST_PAYER=requester (spec.source.requesterPays)"
            )
        }
        return (
            "access denied: \(said)",
            "grant the key read and list rights on the bucket; where the requester pays, set MODELCACHE_REQUEST_PAYER=requester"
        )
    }

    /// The reason and remedy for an object that the store will not give.
    static func unreadable(code: String, message: String) -> (detail: String, remedy: String) {
        let leaveOut = "or leave it out with MODELCACHE_INCLUDE (spec.source.include)"
        switch code {
        case "SymlinkTargetNotExist", "NoSuchSymlinkTarget", "InvalidTargetType":
            return (
                "it is a link to an object that does not exist", "put the object there, delete the link, \(leaveOut)"
            )
        case "InvalidObjectState", "InvalidObjectState.Archived", "ObjectNotInActiveTierError":
            return ("it is archived and has not been restored", "restore it, \(leaveOut)")
        case "InvalidRequest":
            return (
                "it is encrypted with a key that only its owner has (SSE-C)",
                "store it with another encryption, \(leaveOut)"
            )
        default:
            return (
                "its KMS key does not let these credentials decrypt it: \(message)",
                "grant kms:Decrypt on that key, \(leaveOut)"
            )
        }
    }
}
