public import CRD
public import Kubernetes

extension ModelCache: KubernetesResource {
    public static var group: String { APIGroup.group }
    public static var version: String { APIGroup.version }
    public static var plural: String { APIGroup.plural }
    public static var kind: String { APIGroup.kind }
    public static var scope: ResourceScope { .namespaced }

    public var objectKey: ObjectKey { ObjectKey(namespace: metadata.namespace ?? "", name: metadata.name) }
    public var resourceVersion: String { metadata.resourceVersion ?? "" }
    public var uid: String { metadata.uid ?? "" }
}
