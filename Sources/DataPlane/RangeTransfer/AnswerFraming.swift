/// Takes an answer's parts as `AnswerFraming` finds them. False stops the exchange; the receiver knows why.
package protocol AnswerReceiver: AnyObject {
    /// The head as far as it came.
    var head: ResponseHead { get }
    /// One line of the head with its end; the empty line ends the head.
    func receive(header line: UnsafeRawBufferPointer) -> Bool
    /// Receives the next bytes of the body, without transfer coding.
    func receive(body bytes: UnsafeRawBufferPointer) -> Bool
}

/// Cuts what a server sends into the lines of a head and the bytes of a body (RFC 9112, 2 and 6), for GET alone.
///
/// The bytes are untrusted: a line is bounded, lengths are decimal digits alone, a number that does not fit is refused,
/// and nothing after the answer's end is taken for a part of it.
package struct AnswerFraming: Sendable {
    package enum Fault: Error, Hashable {
        /// The receiver wants no more.
        case refused
        case oversizedLine
        /// The response is not HTTP/1, or its framing contradicts itself; in words.
        case notHTTP(String)
        /// The connection ended within the answer; in words.
        case cutShort(String)
        /// The connection ended before the first byte of an answer.
        case nothing
    }

    private enum State: Hashable {
        case statusLine, field
        case body(left: UInt64)
        case chunkSize
        case chunk(left: UInt64)
        case chunkEnd
        case trailer(lines: Int)
        case untilClose
        case done
    }

    private var state = State.statusLine
    /// The beginning of a line whose end has not come.
    private var line: [UInt8] = []
    private var isVersion10 = false
    /// The answer named both a length and a coding: what follows it may be an attack (RFC 9112, 6.1).
    private var isAmbiguous = false
    private var hasBegun = false
    private var endsWithConnection = false

    package static let maximumLineBytes = ResponseHead.maximumLineBytes + 2

    package init() {}

    package var isDone: Bool { state == .done }

    /// Bytes of the body that may be received without looking at them; 0 when none, or when a coding needs a look.
    package var plainBytesLeft: UInt64 { if case .body(let left) = state { left } else { 0 } }

    /// Counts bytes of the body that went past `feed`, at most `plainBytesLeft`.
    package mutating func tookPlain(_ count: Int) {
        precondition(count >= 0 && UInt64(count) <= plainBytesLeft, "more bytes went past than the body has")
        guard case .body(let left) = state, count > 0 else { return }
        state = left > UInt64(count) ? .body(left: left - UInt64(count)) : .done
    }

    /// Whether the connection may carry another request after this answer.
    package func allowsReuse(_ head: ResponseHead) -> Bool {
        guard isDone, !isAmbiguous, !endsWithConnection else { return false }
        let options = (head["connection"] ?? "").lowercased()
        return isVersion10 ? options.contains("keep-alive") : !options.contains("close")
    }

    /// Passes bytes on and returns how many belong to the answer: fewer than came only when it is done.
    package mutating func feed(_ bytes: UnsafeRawBufferPointer, to receiver: some AnswerReceiver) throws(Fault) -> Int {
        var rest = bytes[...]
        if !rest.isEmpty { hasBegun = true }
        while !rest.isEmpty {
            switch state {
            case .done: return bytes.count - rest.count
            case .body(let left):
                let passed = try pass(&rest, atMost: left, to: receiver)
                state = left > passed ? .body(left: left - passed) : .done
            case .chunk(let left):
                let passed = try pass(&rest, atMost: left, to: receiver)
                state = left > passed ? .chunk(left: left - passed) : .chunkEnd
            case .untilClose: _ = try pass(&rest, atMost: .max, to: receiver)
            case .statusLine, .field, .chunkSize, .chunkEnd, .trailer:
                guard try takeLine(&rest) else { continue }
                try lineEnded(receiver)
                line.removeAll(keepingCapacity: true)
            }
        }
        return bytes.count
    }

    /// The connection was closed by the server. Returns when that ends the answer as it should.
    package mutating func close() throws(Fault) {
        switch state {
        case .done: return
        case .untilClose: state = .done
        case .body(let left): throw .cutShort("transfer closed with \(left) bytes remaining to read")
        case .statusLine where !hasBegun: throw .nothing
        case .statusLine, .field: throw .cutShort("transfer closed within the head")
        default: throw .cutShort("transfer closed with outstanding read data remaining")
        }
    }

    private func pass(
        _ rest: inout Slice<UnsafeRawBufferPointer>, atMost limit: UInt64, to receiver: some AnswerReceiver
    ) throws(Fault) -> UInt64 {
        let front = rest.prefix(Int(min(UInt64(rest.count), limit)))
        guard receiver.receive(body: UnsafeRawBufferPointer(rebasing: front)) else { throw .refused }
        rest = rest.dropFirst(front.count)
        return UInt64(front.count)
    }

    /// Moves bytes up to a line feed into `line`; whether it came.
    private mutating func takeLine(_ rest: inout Slice<UnsafeRawBufferPointer>) throws(Fault) -> Bool {
        let end = rest.firstIndex(of: 0x0a)
        let front = end.map { rest[...$0] } ?? rest
        guard line.count + front.count <= Self.maximumLineBytes else { throw .oversizedLine }
        line.append(contentsOf: front)
        rest = rest.dropFirst(front.count)
        return end != nil
    }

    private var lineText: String { String(decoding: line.filter { $0 != 0x0d && $0 != 0x0a }, as: UTF8.self) }
    private var lineIsEmpty: Bool { line.allSatisfy { $0 == 0x0d || $0 == 0x0a } }

    private mutating func lineEnded(_ receiver: some AnswerReceiver) throws(Fault) {
        switch state {
        case .statusLine:
            guard line.starts(with: Array("HTTP/".utf8)) else { throw .notHTTP("Received HTTP/0.9 when not allowed") }
            guard line.starts(with: Array("HTTP/1.".utf8)) else {
                throw .notHTTP("Unsupported HTTP version in response")
            }
            isVersion10 = line.starts(with: Array("HTTP/1.0".utf8))
            try pass(headLineTo: receiver)
            state = .field
        case .field:
            let isEnd = lineIsEmpty
            try pass(headLineTo: receiver)
            if isEnd { state = try isInterim(receiver.head) ? .statusLine : framing(of: receiver.head) }
        case .chunkSize:
            let digits = lineText.prefix { $0 != ";" && $0 != " " && $0 != "\t" }
            guard (1...16).contains(digits.utf8.count), digits.utf8.allSatisfy({ Self.isHex($0) }),
                let size = UInt64(digits, radix: 16)
            else { throw .notHTTP("Illegal or missing hexadecimal sequence in chunked-encoding") }
            state = size > 0 ? .chunk(left: size) : .trailer(lines: 0)
        case .chunkEnd:
            guard lineIsEmpty else { throw .notHTTP("Malformed encoding found in chunked-encoding") }
            state = .chunkSize
        case .trailer(let lines):
            guard lines < ResponseHead.maximumLines else { throw .oversizedLine }
            state = lineIsEmpty ? .done : .trailer(lines: lines + 1)
        default: break
        }
    }

    private func pass(headLineTo receiver: some AnswerReceiver) throws(Fault) {
        let goesOn = line.withUnsafeBytes { receiver.receive(header: $0) }
        guard goesOn else { throw .refused }
    }

    private func isInterim(_ head: ResponseHead) -> Bool { (100..<200).contains(head.status) }

    /// How long the body is (RFC 9112, 6.3).
    private mutating func framing(of head: ResponseHead) throws(Fault) -> State {
        if head.status == 204 || head.status == 304 { return .done }
        if let coding = head["transfer-encoding"] {
            isAmbiguous = head["content-length"] != nil
            guard coding.lowercased() == "chunked" else { throw .notHTTP("Unsupported transfer coding: \(coding)") }
            return .chunkSize
        }
        guard let text = head["content-length"] else {
            endsWithConnection = true
            return .untilClose
        }
        guard let length = head.contentLength, !text.isEmpty else { throw .notHTTP("Invalid Content-Length: value") }
        return length > 0 ? .body(left: length) : .done
    }

    private static func isHex(_ byte: UInt8) -> Bool {
        (0x30...0x39).contains(byte) || (0x41...0x46).contains(byte) || (0x61...0x66).contains(byte)
    }
}
