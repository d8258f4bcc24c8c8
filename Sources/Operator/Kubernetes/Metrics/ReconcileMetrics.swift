/// The reconcile metrics of controller-runtime, under its names, so that existing dashboards and alerts work.
/// <https://book.kubebuilder.io/reference/metrics-reference>
struct ReconcileMetrics: Sendable {
    let success, error, requeue, requeueAfter: Counter
    let errors: Counter
    let seconds: Histogram
    let active: Gauge
    let mostConcurrent: Gauge

    init(_ registry: MetricsRegistry, controller: String) {
        let total = registry.counter(
            "controller_runtime_reconcile_total", help: "Total number of reconciliations per controller",
            labels: ["controller", "result"])
        success = total[controller, "success"]
        error = total[controller, "error"]
        requeue = total[controller, "requeue"]
        requeueAfter = total[controller, "requeue_after"]
        errors =
            registry.counter(
                "controller_runtime_reconcile_errors_total",
                help: "Total number of reconciliation errors per controller", labels: ["controller"])[controller]
        seconds =
            registry.histogram(
                "controller_runtime_reconcile_time_seconds", help: "Length of time per reconciliation per controller",
                labels: ["controller"],
                buckets: [
                    0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.6, 0.7, 0.8, 0.9, 1,
                    1.25, 1.5, 1.75, 2, 2.5, 3, 3.5, 4,
                    4.5, 5, 6, 7, 8, 9, 10, 15, 20, 25, 30, 40, 50, 60,
                ])[controller]
        active =
            registry.gauge(
                "controller_runtime_active_workers", help: "Number of currently used workers per controller",
                labels: ["controller"])[controller]
        mostConcurrent =
            registry.gauge(
                "controller_runtime_max_concurrent_reconciles",
                help: "Maximum number of concurrent reconciles per controller", labels: ["controller"])[controller]
    }
}
