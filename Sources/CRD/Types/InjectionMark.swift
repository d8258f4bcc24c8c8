/// The label by which a pod requests a ModelCache, and the annotations in which the webhook reports its work.
public enum InjectionMark {
    /// Label: name of the ModelCache in the pod's namespace.
    public static let label = "modelcache.io/inject"
    /// Annotation: `<mode>/<uid of each ModelCache, with commas between>`.
    public static let injected = "modelcache.io/injected"
    /// Annotation: one line on why the webhook did not inject the pod.
    public static let status = "modelcache.io/inject-status"

    /// Whether an init container waits for the models (`modelcache.io/mode: Wait`), by the annotation ``injected``.
    public static func waits(_ annotations: [String: String]) -> Bool {
        annotations[injected]?.hasPrefix("Wait/") ?? false
    }

    /// The uids in ``injected``; empty for a pod that was given none.
    public static func cacheUIDs(_ annotations: [String: String]) -> [String] {
        guard let mark = annotations[injected], let slash = mark.firstIndex(of: "/") else { return [] }
        return mark[mark.index(after: slash)...].split(separator: ",").map(String.init)
    }
}
