import CRD
import Foundation
import Kubernetes

/// ModelCaches and their changes: one by name, or all of a namespace.
struct Following {
    let client: KubernetesClient
    /// Nil: all namespaces.
    let namespace: String?
    let name: String?

    /// The present state, sorted by namespace and name.
    func now() async throws -> (models: [ModelCache], version: String) {
        if let name {
            let model = try await client.get(ModelCache.self, ObjectKey(namespace: namespace ?? "", name: name))
            return ([model], model.resourceVersion)
        }
        let list = try await client.listAll(ModelCache.self, in: namespace)
        return (list.items.sorted { $0.objectKey < $1.objectKey }, list.metadata.resourceVersion ?? "")
    }

    /// Calls `show` with the present state and after each change. Ends when the named one is deleted.
    func run(_ show: ([ModelCache]) -> Void) async throws {
        var (models, version) = try await now()
        show(models)
        while true {
            do {
                let stream = try await client.watch(
                    ModelCache.self, in: namespace,
                    WatchOptions(fieldSelector: name.map { "metadata.name=\($0)" }, resourceVersion: version))
                for try await event in stream {
                    switch event {
                    case .added(let model), .modified(let model):
                        version = model.resourceVersion
                        models.removeAll { $0.objectKey == model.objectKey }
                        models.append(model)
                        models.sort { $0.objectKey < $1.objectKey }
                        show(models)
                    case .deleted(let model):
                        version = model.resourceVersion
                        models.removeAll { $0.objectKey == model.objectKey }
                        if name != nil { return }
                        show(models)
                    case .bookmark(let resourceVersion):
                        version = resourceVersion
                    case .error:
                        // Mostly 410: the version is too old to continue from.
                        (models, version) = try await now()
                        show(models)
                    }
                }
            } catch let error as KubernetesError where error.isTransient || error.isGone {
                try await Task.sleep(for: .seconds(2))
                do {
                    (models, version) = try await now()
                    show(models)
                } catch let error as KubernetesError where error.isTransient {
                    continue
                }
            }
        }
    }
}
