extension TransferEngine {
    /// A ranged GET of any URL, as another node's cache serves it: no more is added to the request than the range.
    ///
    /// The response is checked like any other: 206 with the exact range, or nothing of it reaches the sink.
    ///
    /// - Parameters:
    ///   - headers: lines `Name: value`, besides `Range`.
    ///   - range: `key` is for messages alone; an empty `etag` is not asked for.
    ///   - completion: on the engine's thread, once.
    @discardableResult
    package func get(
        url: String, headers: [String], range: ObjectRange, into sink: any RangeSink,
        completion: @escaping @Sendable (Result<RangeReceipt, TransferError>) -> Void
    ) -> TransferID {
        var lines = headers
        lines.append("Range: bytes=\(range.offset)-\(range.offset + range.length - 1)")
        return submit(url: url, method: "GET", headers: lines, body: .range(range, sink)) { result in
            switch result {
            case .failure(let error): completion(.failure(error))
            case .success(let answer) where answer.head.status == 200 || answer.head.status == 206:
                completion(.success(answer.receipt))
            case .success(let answer):
                let kind: TransferError.Kind =
                    answer.head.status == 503 || answer.head.status == 429 ? .throttled : .refused
                completion(
                    .failure(
                        TransferError(
                            kind, detail: "\(range.key): status \(answer.head.status)", status: answer.head.status)))
            }
        }
    }
}
