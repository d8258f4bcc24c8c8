/// One event of a watch.
public enum WatchEvent<Resource: KubernetesResource>: Sendable {
    case added(Resource)
    case modified(Resource)
    /// The object's last state.
    case deleted(Resource)
    /// The server has sent every event up to this version.
    case bookmark(resourceVersion: String)
    /// The server ends the watch and says why; 410 Expired means to list again.
    case error(Status)
}
