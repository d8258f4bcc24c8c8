internal import CRD

/// How a pod comes to its model.
public enum InjectionMode: String, Sendable, Hashable, CaseIterable {
    /// The library is preloaded: the program starts at once and reads what is there.
    case stream = "Stream"
    /// An init container waits until all bytes are on the node: for static and musl programs, which preload nothing.
    case wait = "Wait"
}

/// The label and the annotations by which pods and the webhook speak.
public enum PodLabels {
    /// Label: name of the ModelCache in the pod's namespace.
    public static let inject = InjectionMark.label
    /// Annotation: further ModelCaches, `name` or `name=/directory`, with commas between.
    public static let models = "modelcache.io/models"
    /// Annotation: names of the containers that read the model, with commas between.
    public static let container = "modelcache.io/container"
    /// Annotation: absolute path where they look for it.
    public static let modelDir = "modelcache.io/model-dir"
    /// Annotation: an ``InjectionMode``.
    public static let mode = "modelcache.io/mode"
    /// Annotation: `true` gives the chosen containers the store's keys, by reference to the ModelCaches' Secrets.
    public static let directCredentials = "modelcache.io/direct-credentials"
    /// Annotation, written by the webhook: `<mode>/<uid of each ModelCache, with commas between>`.
    public static let injected = InjectionMark.injected
    /// Annotation, written by the webhook: one line on why the pod was left alone.
    public static let injectStatus = InjectionMark.status
}
