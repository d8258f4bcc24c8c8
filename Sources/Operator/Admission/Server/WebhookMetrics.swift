internal import Kubernetes

/// The metrics that controller-runtime has for webhooks, under its names
/// (sigs.k8s.io/controller-runtime/pkg/webhook/internal/metrics), and the outcomes for pods and ModelCaches.
struct WebhookMetrics: Sendable {
    /// Of one path.
    struct Path: Sendable {
        let inFlight: Gauge
        let latency: Histogram
        fileprivate let ok: Counter
    }

    private let paths: [String: Path]
    private let requests: CounterFamily
    private let injections: CounterFamily
    private let verdicts: CounterFamily

    init(_ registry: MetricsRegistry, paths: [String]) {
        let requests = registry.counter(
            "controller_runtime_webhook_requests_total",
            help: "Total number of admission requests by HTTP status code.", labels: ["webhook", "code"])
        let latency = registry.histogram(
            "controller_runtime_webhook_latency_seconds",
            help: "Histogram of the latency of processing admission requests", labels: ["webhook"],
            // From a pod's usual half millisecond up; the API server gives up after three seconds.
            buckets: [0.0005, 0.001, 0.0025] + Histogram.standardBuckets)
        let inFlight = registry.gauge(
            "controller_runtime_webhook_requests_in_flight",
            help: "Current number of admission requests being served.", labels: ["webhook"])
        injections = registry.counter(
            "modelcache_injections_total", help: "Pods that came to the webhook, by what became of them.",
            labels: ["outcome"])
        verdicts = registry.counter(
            "modelcache_validations_total", help: "ModelCaches that came to the webhook, by what became of them.",
            labels: ["outcome"])
        for path in paths { for code in ["200", "500"] { _ = requests[path, code] } }
        for outcome in Outcome.allCases { _ = injections[outcome.rawValue] }
        for verdict in Verdict.allCases { _ = verdicts[verdict.rawValue] }
        self.requests = requests
        self.paths = Dictionary(
            uniqueKeysWithValues: paths.map { path in
                (path, Path(inFlight: inFlight[path], latency: latency[path], ok: requests[path, "200"]))
            })
    }

    enum Outcome: String, CaseIterable {
        case stream, wait
        /// Named a ModelCache and could not be injected; the pod says why.
        case leftAlone = "left_alone"
        /// Named none.
        case notAsked = "not_asked"
        /// Let through untouched because of a fault here.
        case failed
    }

    enum Verdict: String, CaseIterable {
        case accepted, refused
        /// Let through because of a fault here; the operator's condition tells what is wrong.
        case failed
    }

    /// Nil: nothing is served there.
    subscript(path: String) -> Path? { paths[path] }

    func count(_ outcome: Outcome) { injections[outcome.rawValue].increment() }

    func count(_ verdict: Verdict) { verdicts[verdict.rawValue].increment() }

    func count(path: String, code: Int) {
        if code == 200 { paths[path]?.ok.increment() } else { requests[path, String(code)].increment() }
    }
}
