/// How a caller shows the operator that they may read its reports, ``NodesReport`` and ``ReadingsReport``, which name
/// nodes, models and pods of all namespaces.
///
/// The API server's proxy to a pod takes the caller's own credentials off the request and tells the pod nobody's name.
/// So the caller asks the API server for a token of a ServiceAccount that has no rights, and sends it along in a header
/// of its own: whoever may have such a token may read the reports.
public enum ReportAccess {
    /// The ServiceAccount, in the operator's namespace.
    public static let account = "modelcache-reader"
    /// The token is for this audience alone: the API server takes it for nothing.
    public static let audience = "modelcache-operator"
    public static let header = "X-ModelCache-Token"
    /// The shortest lifetime that the API server gives.
    public static let lifetimeSeconds: Int64 = 600
}
