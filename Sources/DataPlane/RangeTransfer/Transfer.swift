import CurlShim

/// One HTTP exchange: what is sent, what arrived so far.
///
/// @unchecked Sendable: made by the submitter, which lets go of it at submission; from then on the one worker thread it
/// was given to touches it, and the inbox's lock orders the two.
final class Transfer: AnswerReceiver, @unchecked Sendable {
    let id: TransferID
    var identifier: UInt64 { id.value }
    let url: String
    let method: String
    let headers: [String]
    let body: TransferBody
    let submitted = ContinuousClock.now
    private let completion: @Sendable (Result<TransferResponse, TransferError>) -> Void

    /// When the connection that it is to use was begun.
    var connectBegan = ContinuousClock.now
    private(set) var head = ResponseHead()
    private(set) var collected: [UInt8] = []
    private(set) var failure: TransferError?
    private var received: UInt64 = 0
    private var delivers = false
    private var firstByte: ContinuousClock.Instant?
    private var headHasEnded = false
    /// The source address, once a worker took the transfer.
    var source: String?
    /// Nothing of it is read for now.
    var isPaused = false
    /// Nil: the host is reached directly.
    var proxy: StoreProxy?
    /// The engine's.
    var addressGuard: AddressGuard?
    /// Set when libcurl was kept from an address of the host.
    var refusedAddress: String?
    var list: UnsafeMutablePointer<curl_slist>?
    /// Where libcurl says what went wrong; lives until the handle has been reset.
    let errorText = UnsafeMutablePointer<CChar>.allocate(capacity: Int(CURL_ERROR_SIZE))

    /// Error answers are a few hundred bytes of XML.
    private static let errorBodyLimit = 64 * 1024

    init(
        id: TransferID, url: String, method: String, headers: [String], body: TransferBody,
        completion: @escaping @Sendable (Result<TransferResponse, TransferError>) -> Void
    ) {
        self.id = id
        self.url = url
        self.method = method
        self.headers = headers
        self.body = body
        self.completion = completion
        errorText.initialize(repeating: 0, count: Int(CURL_ERROR_SIZE))
    }

    deinit { errorText.deallocate() }

    /// One header line, with its end. False stops the transfer.
    func receive(header bytes: UnsafeRawBufferPointer) -> Bool {
        var line = bytes[...]
        while let last = line.last, last == 0x0d || last == 0x0a { line = line.dropLast() }
        if line.isEmpty { return headEnded() }
        guard head.consume(line: String(decoding: line, as: UTF8.self)) else {
            return refuseHead()
        }
        return true
    }

    @discardableResult
    func refuseHead() -> Bool {
        fail(TransferError(.malformedResponse, detail: "the server sent a malformed or oversized response head"))
    }

    private func headEnded() -> Bool {
        guard head.status >= 200 else { return true }
        headHasEnded = true
        firstByte = firstByte ?? .now
        if case .range(let range, _) = body, head.status == 200 || head.status == 206 {
            if let problem = RangeCheck.problem(with: head, for: range) { return fail(problem) }
            delivers = true
        }
        return true
    }

    /// Receives the next bytes of the body. False stops the transfer.
    func receive(body bytes: UnsafeRawBufferPointer) -> Bool {
        switch body {
        case .range(let range, let sink) where delivers:
            received += UInt64(bytes.count)
            guard received <= range.length else {
                return fail(tooLong(range))
            }
            do {
                try sink.receive(bytes)
                return true
            } catch {
                return fail(TransferError(.sink, detail: "\(error)"))
            }
        case .range: return collect(bytes, limit: Self.errorBodyLimit)
        case .collect(let limit): return collect(bytes, limit: limit)
        }
    }

    /// As far as the request says.
    var expectedBytes: UInt64 { if case .range(let range, _) = body { range.length } else { 0 } }

    /// Whether the body goes to a sink, which may be asked for memory to receive into.
    var takesPlainBody: Bool { delivers }

    /// Receives up to `limit` bytes of the body where the sink wants them: `fill` gets the memory and returns how many
    /// bytes it wrote there, 0 or less for none. False stops the transfer.
    func receive(_ limit: Int, _ fill: (UnsafeMutableRawBufferPointer) -> Int) -> Bool {
        guard case .range(let range, let sink) = body, delivers else { return false }
        guard received + UInt64(limit) <= range.length else {
            return fail(tooLong(range))
        }
        var offered = false
        do {
            try sink.withSpace { space in
                guard !space.isEmpty else { return 0 }
                offered = true
                let count = fill(UnsafeMutableRawBufferPointer(rebasing: space[..<min(space.count, limit)]))
                received += UInt64(max(count, 0))
                return count
            }
        } catch {
            return fail(TransferError(.sink, detail: "\(error)"))
        }
        return offered || fail(TransferError(.sink, detail: "\(range.key): there is no capacity for the rest of the range"))
    }

    private func collect(_ bytes: UnsafeRawBufferPointer, limit: Int) -> Bool {
        received += UInt64(bytes.count)
        guard collected.count + bytes.count <= limit else {
            return fail(
                TransferError(
                    .malformedResponse, detail: "the response is larger than \(limit) bytes", head: head))
        }
        collected.append(contentsOf: bytes)
        return true
    }

    private func tooLong(_ range: ObjectRange) -> TransferError {
        TransferError(
            .malformedResponse,
            detail: "\(range.key): the body is longer than the range\(RangeCheck.intermediary(head))")
    }

    private func fail(_ error: TransferError) -> Bool {
        failure = failure ?? error
        return false
    }

    /// The end of a transfer of libcurl's: `result` is its verdict.
    func finish(result: CURLcode, handle: UnsafeMutableRawPointer) {
        let problem =
            result == CURLE_OK
            ? nil
            : CurlFailure(
                code: result, text: String(cString: errorText),
                systemError: Int32(mc_curl_long(handle, CURLINFO_OS_ERRNO)),
                requestWasSent: mc_curl_number(handle, CURLINFO_PRETRANSFER_TIME_T) > 0, headHasEnded: headHasEnded,
                url: url, source: source, refusedAddress: refusedAddress, proxy: proxy,
                connectStatus: mc_curl_long(handle, CURLINFO_HTTP_CONNECTCODE))
        func text(_ info: CURLINFO) -> String { mc_curl_string(handle, info).map { String(cString: $0) } ?? "" }
        finish(
            problem, localAddress: text(CURLINFO_LOCAL_IP), remoteAddress: text(CURLINFO_PRIMARY_IP),
            reusedConnection: mc_curl_long(handle, CURLINFO_NUM_CONNECTS) == 0)
    }

    /// The end of an exchange on a connection of ours; nil `code` when the answer is whole or was refused.
    func finish(_ exchange: DirectExchange, code: CURLcode? = nil, text: String = "") {
        let problem = code.map {
            CurlFailure(
                code: $0, text: text, systemError: 0, requestWasSent: exchange.isOpen, headHasEnded: headHasEnded,
                url: url, source: source)
        }
        finish(
            problem, localAddress: exchange.connection.localAddress, remoteAddress: exchange.connection.remoteAddress,
            reusedConnection: exchange.isReused)
    }

    private func finish(_ problem: CurlFailure?, localAddress: String, remoteAddress: String, reusedConnection: Bool) {
        if let failure { return completion(.failure(failure)) }
        if let problem { return completion(.failure(problem.error)) }
        if case .range(let range, _) = body, delivers, received != range.length {
            return completion(
                .failure(
                    TransferError(
                        .malformedResponse,
                        detail:
                            "\(range.key): the body has \(received) bytes, the range \(range.length)\(RangeCheck.intermediary(head))",
                        head: head)))
        }
        let now = ContinuousClock.now
        let receipt = RangeReceipt(
            bytes: received, timeToFirstByte: submitted.duration(to: firstByte ?? now),
            duration: submitted.duration(to: now),
            localAddress: localAddress, remoteAddress: remoteAddress, reusedConnection: reusedConnection)
        completion(.success(TransferResponse(head: head, body: collected, receipt: receipt, id: id)))
    }

    func finish(with error: TransferError) { completion(.failure(error)) }
}
