/// One event of a watch.
public enum WatchEvent<Resource: KubernetesResource>: Sendable {
    case added(Resource)
    case modified(Resource)
    /// The object as it was last.
    case deleted(Resource)
    /// Everything up to this version has been sent.
    case bookmark(resourceVersion: String)
    /// The server ends the watch and says why; 410 Expired asks for a new list.
    case error(Status)
}
