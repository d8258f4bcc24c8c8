import CRD
import ClusterPage
import Kubernetes
import ModelCacheClient
import StatusPage

/// Reads the views of the page, each with the caller's own rights: one that may not be read says so, and the others go
/// on.
actor ClusterReader {
    /// Starts that are shown, the newest.
    private static let mostStarts = 20

    private let following: Following
    private let namespace: String?
    private let operators: OperatorReading
    private let starts: StartsReading
    /// The last answers, by ModelCaches' uids.
    private var told: [String: StartsReading.Told] = [:]
    private var questions = StartQuestions()

    /// - Parameter namespace: nil: all.
    init(client: KubernetesClient, namespace: String?, systemNamespace: String) {
        self.namespace = namespace
        following = Following(client: client, namespace: namespace, name: nil)
        operators = OperatorReading(client: client, systemNamespace: systemNamespace)
        starts = StartsReading(client: client, operators: operators)
    }

    func read() async -> PageReading {
        async let report = nodes()
        async let pods = startedPods()
        let models: [ModelCache]
        var reading = PageReading(missing: "")
        do {
            models = try await following.now().models
            reading.models = .seen(ClusterPage.models(models, withNamespace: namespace == nil))
            reading.starts = readStarts(of: models, await pods)
        } catch {
            reading.models = .missing(Texts.plain(ConnectionOptions.text(error)))
            reading.starts = .missing("the ModelCaches cannot be read")
        }
        switch await report {
        case .success(let report):
            reading.nodes = .seen(ClusterPage.nodes(report))
            reading.flows = .seen(ClusterPage.flows(report))
            if let problem = ClusterPage.flowsProblem(report) { reading.flows = .missing(problem) }
        case .failure(let problem):
            reading.nodes = .missing(problem.why)
            reading.flows = .missing(problem.why)
        }
        return reading
    }

    private struct Problem: Error {
        let why: String
    }

    private func nodes() async -> Result<NodesReport, Problem> {
        do {
            return .success(try await operators.nodes())
        } catch {
            return .failure(Problem(why: operators.reason(error)))
        }
    }

    private func startedPods() async -> Result<[Pod], Problem> {
        do {
            return .success(try await starts.pods(in: namespace))
        } catch {
            return .failure(Problem(why: Texts.plain("\(error)")))
        }
    }

    /// With what agents have told so far: nobody waits for them here.
    private func readStarts(of models: [ModelCache], _ pods: Result<[Pod], Problem>)
        -> PageReading.Look<PageData.Start>
    {
        switch pods {
        case .failure(let problem): return .missing(problem.why)
        case .success(let pods):
            let given = pods.reversed().flatMap { pod in
                models.filter { StartsReading.reads(pod, $0) }.map { (pod: pod, model: $0) }
            }.prefix(Self.mostStarts)
            let shown = Dictionary(given.map { ($0.model.uid, $0.model) }, uniquingKeysWith: { first, _ in first })
            told = told.filter { shown[$0.key] != nil }
            for uid in questions.shown(Set(shown.keys), now: .now) {
                if let model = shown[uid] { Task { await ask(model) } }
            }
            let now = Timestamp.now
            let items = given.compactMap { pod, model in
                pod.start(now: now, told[model.uid]?.readings[pod.metadata.uid ?? ""]).map {
                    ClusterPage.start($0, of: model, withNamespace: namespace == nil)
                }
            }
            return .seen(items, notes: Set(told.values.flatMap { $0.untold }).sorted())
        }
    }

    private func ask(_ model: ModelCache) async {
        let answer = await starts.told(of: model)
        told[model.uid] = answer
        questions.isAnswered(model.uid, now: .now)
    }
}
