import ObjectStore
import RangeTransfer

/// What stores and proxies send, and what people's credential files hold.
let storeTargets: [Target] = [
    Target(name: "listing-oss") { listing($0, .oss) },
    Target(name: "listing-s3") { listing($0, .s3) },
    Target(name: "error-body") { bytes in
        var head = ResponseHead()
        // The first line is the status, so that the class by status is reached too.
        let both = bytes.split(separator: 0x0a, maxSplits: 1, omittingEmptySubsequences: false).map(Array.init)
        guard head.consume(line: "HTTP/1.1 \(text(both[0].prefix(3))) x") else { return }
        let error = StoreAnswer.error(head: head, body: both.count > 1 ? both[1] : [], subject: "s")
        precondition((error.code ?? "").count <= 100, "a code without a bound")
        precondition("\(error)".utf8.count < 16_384, "an error without a bound")
    },
    Target(name: "answer-head") { bytes in
        var head = ResponseHead()
        for line in bytes.split(separator: 0x0a, omittingEmptySubsequences: false) {
            guard head.consume(line: text(line)) else { break }
        }
        if let range = head.contentRange { precondition(range.first <= range.last && range.last < range.total) }
        if let wait = head.retryAfter { precondition(wait >= .zero && wait <= .seconds(3600)) }
        if let tag = head.entityTag { precondition(tag.utf8.allSatisfy { $0 >= 0x20 || $0 == 9 }) }
        _ = head.contentLength
    },
    Target(name: "answer-framing") { framing($0) },
    Target(name: "credentials-file") { bytes in
        guard let read = try? CredentialsFile.parse(bytes) else { return }
        precondition(!read.keyID.isEmpty && !read.secret.isEmpty, "a key pair without a half")
        precondition(HeaderText.isSafe(read.keyID + read.secret + (read.token ?? "")), "a key that breaks a header")
    },
    Target(name: "profiles-aws") { profiles($0, .s3) },
    Target(name: "profiles-oss") { profiles($0, .oss) },
    Target(name: "proxy") { bytes in
        let texts = parts(bytes, 3).map { text($0) }
        guard let settings = try? ProxySettings(environment: ["HTTPS_PROXY": texts[0], "NO_PROXY": texts[1]]) else {
            return
        }
        for host in [texts[2], "store.example", "10.1.2.3", "2001:db8::1"] {
            let proxy = settings.proxy(for: host, port: 443, isSecure: true)
            precondition(!(proxy?.description ?? "").contains("@"), "a description with a name")
        }
        for host in ["localhost", "127.0.0.1", "::1", "169.254.169.254"] {
            precondition(settings.proxy(for: host, port: 443, isSecure: true) == nil, "a proxy for this machine")
        }
    },
    Target(name: "location") { bytes in
        let texts = parts(bytes, 2).map { text($0) }
        let location = try? ObjectLocation(parsing: texts[0])
        if let location { precondition(!location.bucket.isEmpty, "a location without a bucket") }
        for addressing in AddressingSetting.allCases {
            _ = try? StoreEndpoint(parsing: texts[1], for: location, addressing: addressing)
        }
    },
]

private func listing(_ bytes: [UInt8], _ scheme: StoreScheme) {
    guard let page = try? ListPage.parse(bytes, prefix: "m/", scheme: scheme) else { return }
    for object in page.objects {
        precondition(object.key.utf8.starts(with: "m/".utf8), "a key outside the prefix")
        precondition(HeaderText.isEntityTag(object.etag), "an entity tag that cannot be sent")
    }
    if let next = page.next { precondition(!next.isEmpty, "an empty token would list the first page for ever") }
}

private func profiles(_ bytes: [UInt8], _ scheme: StoreScheme) {
    let texts = parts(bytes, 2).map { text($0) }
    let profiles = CredentialProfiles { path in
        path.hasSuffix(".ossutilconfig") || path.hasSuffix("credentials") ? texts[0] : texts[1]
    }
    let environment = ["HOME": "/h"]
    let found = profiles.completed(environment, scheme: scheme)
    precondition(found["HOME"] == "/h", "a profile replaced the environment")
    for (name, value) in found { precondition(!value.isEmpty, "\(name) is empty") }
}

/// Takes everything; checks that a body is no longer than its head says.
private final class Receiver: AnswerReceiver {
    var head = ResponseHead()
    var bodyBytes: UInt64 = 0

    func receive(header line: UnsafeRawBufferPointer) -> Bool {
        let line = text(line.filter { $0 != 0x0d && $0 != 0x0a })
        return line.isEmpty || head.consume(line: line)
    }
    func receive(body bytes: UnsafeRawBufferPointer) -> Bool {
        bodyBytes += UInt64(bytes.count)
        return true
    }
}

/// Cut into two buffers at every place the first byte chooses, the answer must be the same.
private func framing(_ bytes: [UInt8]) {
    guard let first = bytes.first else { return }
    let body = Array(bytes.dropFirst())
    func read(_ buffers: [ArraySlice<UInt8>]) -> (Receiver, String) {
        let receiver = Receiver()
        var framing = AnswerFraming()
        do throws(AnswerFraming.Fault) {
            for buffer in buffers where !buffer.isEmpty {
                let copy = Array(buffer)
                let taken = try feed(copy, &framing, receiver)
                precondition(taken <= copy.count, "more bytes taken than given")
                if taken < copy.count { break }
            }
            try framing.close()
            return (receiver, "done")
        } catch {
            return (receiver, "\(error)")
        }
    }
    let cut = body.isEmpty ? 0 : Int(first) % body.count
    let whole = read([body[...]]), halves = read([body[..<cut], body[cut...]])
    precondition(whole.0.bodyBytes == halves.0.bodyBytes, "the body depends on how the network cut it")
    precondition(whole.0.head == halves.0.head, "the head depends on how the network cut it")
    precondition(whole.1 == halves.1, "the outcome depends on how the network cut it: \(whole.1), \(halves.1)")
}

private func feed(
    _ bytes: [UInt8], _ framing: inout AnswerFraming, _ receiver: Receiver
) throws(AnswerFraming.Fault) -> Int {
    let copy = UnsafeMutableRawBufferPointer.allocate(byteCount: bytes.count, alignment: 1)
    defer { copy.deallocate() }
    copy.copyBytes(from: bytes)
    return try framing.feed(UnsafeRawBufferPointer(copy), to: receiver)
}
