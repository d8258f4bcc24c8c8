import CRD
import Foundation
import Kubernetes

/// Asks the operator that leads, through the API server's proxy to its pod
/// (https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/pod-v1/, "get connect proxy path").
///
/// A token is used for most of its life: who asks each second needs one in ten minutes.
actor OperatorReading {
    private let client: KubernetesClient
    private let systemNamespace: String
    private var known: (token: String, until: ContinuousClock.Instant)?

    init(client: KubernetesClient, systemNamespace: String) {
        self.client = client
        self.systemNamespace = systemNamespace
    }

    /// Why there is no answer, with the remedy.
    struct Failure: Error, CustomStringConvertible {
        let description: String
    }

    /// - Throws: ``Failure``, `KubernetesError`.
    func nodes() async throws -> NodesReport { try await ask(NodesReport.path) }

    /// - Parameter uid: a ModelCache's.
    /// - Throws: ``Failure``, `KubernetesError`.
    func readings(ofCache uid: String) async throws -> ReadingsReport { try await ask("\(ReadingsReport.path)/\(uid)") }

    /// Why a question got no answer; where it is a right, the one that is needed.
    nonisolated func reason(_ error: any Error) -> String {
        let isForbidden = (error as? KubernetesError)?.isForbidden ?? false
        return Texts.plain(
            "\(error)\(isForbidden ? "; you need the Role modelcache-reader of \(systemNamespace)" : "")")
    }

    private func ask<Answer: Decodable & Sendable>(_ path: String) async throws -> Answer {
        let selector = "app.kubernetes.io/name=modelcache-operator"
        let pods = try await client.listAll(
            Pod.self, in: systemNamespace, ListOptions(labelSelector: selector)
        ).items
        guard !pods.isEmpty else {
            throw Failure(
                description:
                    "no operator runs in the namespace \(systemNamespace); name its namespace with --system-namespace")
        }
        var reasons: [String] = []
        let token = try await pods.contains(where: \.isReady) ? self.token() : nil
        for pod in pods where pod.isReady {
            guard let port = Self.metricsPort(pod) else {
                reasons.append("\(pod.objectKey.name) has no port named metrics: set --metrics-bind-address")
                continue
            }
            do {
                return try await answer(to: path, of: pod.objectKey.name, port: port, token)
            } catch let error as KubernetesError where error.isForbidden {
                throw error
            } catch {
                if (error as? KubernetesError)?.isUnauthorized ?? false { known = nil }
                // One that does not lead, mostly.
                reasons.append("\(pod.objectKey.name): \(error)")
            }
        }
        throw Failure(
            description: reasons.isEmpty
                ? "no operator is ready: see kubectl get pods -n \(systemNamespace) -l \(selector)"
                : "no operator that leads answers: \(reasons.joined(separator: "; "))")
    }

    /// Nil: the installation is of a release that asks for none.
    private func token() async throws -> String? {
        if let known, known.until > .now { return known.token }
        let asked = ContinuousClock.now
        let account = ObjectKey(namespace: systemNamespace, name: ReportAccess.account)
        do {
            let token = try await client.token(
                of: account, audience: ReportAccess.audience, seconds: ReportAccess.lifetimeSeconds)
            known = (token, asked + .seconds(ReportAccess.lifetimeSeconds) * 0.8)
            return token
        } catch let error as KubernetesError where error.isNotFound {
            return nil
        }
    }

    private func answer<Answer: Decodable & Sendable>(
        to path: String, of pod: String, port: Int, _ token: String?
    ) async throws -> Answer {
        let path = "/api/v1/namespaces/\(systemNamespace)/pods/\(pod):\(port)/proxy\(path)"
        return try JSONDecoder().decode(
            Answer.self,
            from: Data(try await client.raw(path, header: token.map { (name: ReportAccess.header, value: $0) })))
    }

    private static func metricsPort(_ pod: Pod) -> Int? {
        for container in pod.spec?.containers ?? [] {
            if let port = container.ports?.first(where: { $0.name == "metrics" }) { return Int(port.containerPort) }
        }
        return nil
    }
}
