/// Is told every attempt of a request, for metrics such as `rest_client_requests_total` and
/// `rest_client_request_duration_seconds`. The client calls it on arbitrary threads, so it must be quick.
public protocol RequestObserver: Sendable {
    func requestFinished(_ observation: RequestObservation)
}

/// One attempt of one request.
public struct RequestObservation: Sendable, Hashable {
    public var verb: Verb
    /// The HTTP method, which controller-runtime's metrics use as a label: "GET", "PATCH", ...
    public var method: String
    /// Plural and group, "jobs.batch"; the path for requests that are not about a resource.
    public var resource: String
    /// Host and port of the API server.
    public var host: String
    /// The HTTP status; nil when no response came ("<error>" in client-go's metrics).
    public var code: Int?
    /// Until the response was complete; of a watch, until its head.
    public var duration: Duration
    /// 0 for the first attempt.
    public var attempt: Int

    public init(
        verb: Verb, method: String, resource: String, host: String, code: Int?, duration: Duration, attempt: Int
    ) {
        self.verb = verb
        self.method = method
        self.resource = resource
        self.host = host
        self.code = code
        self.duration = duration
        self.attempt = attempt
    }
}
