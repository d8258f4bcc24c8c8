/// Requests to the API server under client-go's names: `rest_client_requests_total` and
/// `rest_client_request_duration_seconds`.
public struct RequestMetrics: RequestObserver {
    private let requests: CounterFamily
    private let seconds: HistogramFamily

    /// - Parameter host: the API server with its port; when given, the common codes are registered at zero for it.
    public init(_ registry: MetricsRegistry, host: String? = nil) {
        requests = registry.counter(
            "rest_client_requests_total",
            help: "Number of HTTP requests, partitioned by status code, method, and host.",
            labels: ["code", "host", "method"])
        seconds = registry.histogram(
            "rest_client_request_duration_seconds", help: "Request latency in seconds. Broken down by verb, and host.",
            labels: ["host", "verb"], buckets: [0.005, 0.025, 0.1, 0.25, 0.5, 1, 2, 4, 8, 15, 30, 60])
        guard let host else { return }
        for method in ["GET", "POST", "PUT", "PATCH", "DELETE"] { _ = requests["200", host, method] }
        _ = requests[Self.noAnswer, host, "GET"]
    }

    /// The code that client-go writes for a request without a response.
    private static let noAnswer = "<error>"

    public func requestFinished(_ observation: RequestObservation) {
        requests[observation.code.map(String.init) ?? Self.noAnswer, observation.host, observation.method].increment()
        seconds[observation.host, observation.method].observe(observation.duration)
    }
}
