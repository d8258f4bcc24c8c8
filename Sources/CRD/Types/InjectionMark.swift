/// The label by which a pod asks for a ModelCache, and the annotations by which the webhook says what it did.
public enum InjectionMark {
    /// Label: name of the ModelCache in the pod's namespace.
    public static let label = "modelcache.io/inject"
    /// Annotation: `<mode>/<uid of the ModelCache>`.
    public static let injected = "modelcache.io/injected"
    /// Annotation: one line on why the pod was left alone.
    public static let status = "modelcache.io/inject-status"
}
