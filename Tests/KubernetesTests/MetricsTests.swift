import Kubernetes
import Testing

@Suite struct MetricsTests {
    @Test func countersAndGaugesAreWrittenWithTheirLabelsSorted() {
        let registry = MetricsRegistry()
        let requests = registry.counter("requests_total", help: "Requests.", labels: ["code", "method"])
        requests["404", "GET"].increment()
        requests["200", "GET"].increment(by: 2.5)
        registry.gauge("a_gauge", help: "Up and down.")[].set(-3)
        #expect(
            registry.expose() == """
                # HELP a_gauge Up and down.
                # TYPE a_gauge gauge
                a_gauge -3
                # HELP requests_total Requests.
                # TYPE requests_total counter
                requests_total{code="200",method="GET"} 2.5
                requests_total{code="404",method="GET"} 1

                """)
    }

    @Test func `replacing a family's children leaves nothing of the former ones`() {
        let registry = MetricsRegistry()
        let family = registry.gauge("g", help: "g", labels: ["namespace", "name"])
        family.replace(with: [["a", "x"]: 1, ["a", "y"]: 2])
        family.replace(with: [["a", "y"]: 3])
        #expect(registry.expose() == "# HELP g g\n# TYPE g gauge\ng{namespace=\"a\",name=\"y\"} 3\n")
        family.replace(with: [:])
        #expect(registry.expose().isEmpty)
    }

    @Test func whatWouldBreakALineIsEscaped() {
        let registry = MetricsRegistry()
        registry.gauge("g", help: "a \\ and\nb \"quoted\"", labels: ["l"])["\"\\\r\n\u{e9}"].set(.nan)
        #expect(
            registry.expose()
                == "# HELP g a \\\\ and\\nb \"quoted\"\n# TYPE g gauge\ng{l=\"\\\"\\\\\r\\n\u{e9}\"} NaN\n")
    }

    @Test func aHistogramCumulatesItsBuckets() {
        let registry = MetricsRegistry()
        let histogram = registry.histogram("h_seconds", help: "h", labels: ["x"], buckets: [0.1, 1])["y"]
        for value in [0.1, 0.2, 5] { histogram.observe(value) }
        histogram.observe(.milliseconds(500))
        #expect(histogram.count == 4)
        #expect(
            registry.expose() == """
                # HELP h_seconds h
                # TYPE h_seconds histogram
                h_seconds_bucket{x="y",le="0.1"} 1
                h_seconds_bucket{x="y",le="1"} 3
                h_seconds_bucket{x="y",le="+Inf"} 4
                h_seconds_sum{x="y"} 5.8
                h_seconds_count{x="y"} 4

                """)
    }

    @Test func askingTwiceGivesTheSameMetricAndManyThreadsLoseNothing() async {
        let registry = MetricsRegistry()
        await withTaskGroup(of: Void.self) { group in
            for _ in 0..<8 {
                group.addTask {
                    for _ in 0..<10_000 { registry.counter("c_total", help: "c", labels: ["a"])["b"].increment() }
                }
            }
        }
        #expect(registry.counter("c_total", help: "c", labels: ["a"])["b"].value == 80_000)
    }

    @Test func theProcessTellsOfItself() {
        let registry = MetricsRegistry()
        ProcessMetrics.register(in: registry)
        let text = registry.expose()
        func value(_ name: String) -> Double {
            text.split(separator: "\n").first { $0.hasPrefix("\(name) ") }.flatMap { Double($0.split(separator: " ")[1]) } ?? -1
        }
        #expect(value("process_resident_memory_bytes") > 1e6)
        #expect(value("process_virtual_memory_bytes") >= value("process_resident_memory_bytes"))
        #expect(value("process_cpu_seconds_total") >= 0)
        #expect(value("process_start_time_seconds") > 1.6e9)
        #expect(value("process_open_fds") >= 3)
        #expect(value("process_max_fds") >= value("process_open_fds"))
    }

    @Test func requestsAreCountedAsClientGoDoes() {
        let registry = MetricsRegistry()
        let metrics = RequestMetrics(registry, host: "h:6443")
        metrics.requestFinished(
            RequestObservation(verb: .list, method: "GET", resource: "pods", host: "h:6443", code: nil, duration: .seconds(1), attempt: 0))
        metrics.requestFinished(
            RequestObservation(verb: .create, method: "POST", resource: "pods", host: "h:6443", code: 201, duration: .seconds(1), attempt: 0))
        let text = registry.expose()
        #expect(text.contains(#"rest_client_requests_total{code="<error>",host="h:6443",method="GET"} 1"#))
        #expect(text.contains(#"rest_client_requests_total{code="201",host="h:6443",method="POST"} 1"#))
        #expect(text.contains(#"rest_client_requests_total{code="200",host="h:6443",method="PATCH"} 0"#), "at zero before the first")
    }
}
