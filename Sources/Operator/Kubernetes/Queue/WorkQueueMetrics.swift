/// The metrics of client-go's work queue, under its names.
struct WorkQueueMetrics: Sendable {
    let depth: Gauge
    let adds: Counter
    let waited: Histogram
    let worked: Histogram
    let unfinished: Gauge
    let longest: Gauge
    let retries: Counter

    init(_ registry: MetricsRegistry, queue: String) {
        let labels = ["name", "controller"]
        // client-go: ten nanoseconds to a thousand seconds, each ten times the one before.
        let buckets = [1e-8, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1, 10, 100, 1000]
        depth = registry.gauge("workqueue_depth", help: "Current depth of workqueue", labels: labels)[queue, queue]
        adds =
            registry.counter("workqueue_adds_total", help: "Total number of adds handled by workqueue", labels: labels)[
                queue, queue]
        waited =
            registry.histogram(
                "workqueue_queue_duration_seconds",
                help: "How long in seconds an item stays in workqueue before being requested", labels: labels,
                buckets: buckets)[queue, queue]
        worked =
            registry.histogram(
                "workqueue_work_duration_seconds", help: "How long in seconds processing an item from workqueue takes.",
                labels: labels, buckets: buckets)[
                queue, queue]
        unfinished =
            registry.gauge(
                "workqueue_unfinished_work_seconds",
                help: "How many seconds of work has been done that is in progress and hasn't been observed by "
                    + "work_duration. Large values indicate stuck threads.",
                labels: labels)[queue, queue]
        longest =
            registry.gauge(
                "workqueue_longest_running_processor_seconds",
                help: "How many seconds has the longest running processor for workqueue been running.",
                labels: labels)[queue, queue]
        retries =
            registry.counter(
                "workqueue_retries_total", help: "Total number of retries handled by workqueue", labels: labels)[
                queue, queue]
    }
}
