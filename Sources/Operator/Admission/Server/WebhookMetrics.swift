internal import Kubernetes

/// What controller-runtime tells of a webhook, under its names (sigs.k8s.io/controller-runtime/pkg/webhook/internal/metrics), and what became of pods.
struct WebhookMetrics: Sendable {
    let inFlight: Gauge
    let latency: Histogram
    private let requests: CounterFamily
    private let ok: Counter
    private let outcomes: CounterFamily

    init(_ registry: MetricsRegistry, path: String) {
        requests = registry.counter("controller_runtime_webhook_requests_total", help: "Total number of admission requests by HTTP status code.", labels: ["webhook", "code"])
        latency = registry.histogram(
            "controller_runtime_webhook_latency_seconds", help: "Histogram of the latency of processing admission requests", labels: ["webhook"],
            // From a pod's usual half millisecond up; the API server gives up after three seconds.
            buckets: [0.0005, 0.001, 0.0025] + Histogram.standardBuckets)[path]
        inFlight = registry.gauge(
            "controller_runtime_webhook_requests_in_flight", help: "Current number of admission requests being served.", labels: ["webhook"])[path]
        outcomes = registry.counter("modelcache_injections_total", help: "Pods that came to the webhook, by what became of them.", labels: ["outcome"])
        for code in ["200", "500"] { _ = requests[path, code] }
        for outcome in Outcome.allCases { _ = outcomes[outcome.rawValue] }
        ok = requests[path, "200"]
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

    func count(_ outcome: Outcome) { outcomes[outcome.rawValue].increment() }

    func count(path: String, code: Int) {
        if code == 200 { ok.increment() } else { requests[path, String(code)].increment() }
    }
}
