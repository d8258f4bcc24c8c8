// CRD: the ModelCache resource: types, defaults, schema, validation, and its texts for people.
//
// - Types/: `ModelCache` has a `ModelCacheSpec` and a `ModelCacheStatus`. `ConditionReason` lists all reasons.
// - Schema/: a `SchemaNode` is the rule of one field. `CustomResourceDefinition` writes config/crd from them.
// - Validation/: `Validation` checks a document, `Immutability` a change, by the installation's `ValidationPolicy`. A
//   `FieldProblem` names field, value and remedy.
// - Describe/: `StatusText`, `NodesText`, `StartsText` and `Why` are the texts of `kubectl modelcache`.
// Invariants:
// - Decoding does not fail on a spec or status that cannot be read, so one bad object does not stop a list of others.
// - The definition and the operator's check come from the same nodes. The CEL `Rules` say what `Validation` says.
// - A `Quantity` keeps the text that its author wrote: else an object would seem changed.
// - A word of a newer operator's status is no error.
// Left to others: the hosts that may be read (StoreHost), the API server (ModelCacheClient, Kubernetes), when an object
// is checked (Admission, Controller).

/// The resource's group, version and names in the Kubernetes API.
public enum APIGroup {
    public static let group = "modelcache.io"
    public static let version = "v1alpha1"
    /// `modelcache.io/v1alpha1`, the value of `apiVersion`.
    public static let groupVersion = "\(group)/\(version)"
    public static let kind = "ModelCache"
    public static let plural = "modelcaches"
    public static let singular = "modelcache"
    public static let shortName = "mcache"
}

/// A model that is kept near the pods that read it.
///
/// Decoding never fails on a spec: a spec that cannot be read sets `unreadable`, so that one bad object does not stop a
/// list of others, and its author still gets a message. A status that cannot be read counts as absent.
public struct ModelCache: Codable, Sendable, Equatable {
    public var apiVersion: String
    public var kind: String
    public var metadata: ObjectMeta
    public var spec: ModelCacheSpec
    public var status: ModelCacheStatus?

    /// Why `spec` could not be read. It then has defaults and an empty source, and the operator must not act on it.
    /// Never encoded.
    public private(set) var unreadable: FieldProblem?

    public init(metadata: ObjectMeta, spec: ModelCacheSpec, status: ModelCacheStatus? = nil) {
        self.apiVersion = APIGroup.groupVersion
        self.kind = APIGroup.kind
        self.metadata = metadata
        self.spec = spec
        self.status = status
        self.unreadable = nil
    }

    enum CodingKeys: String, CodingKey, CaseIterable {
        case apiVersion, kind, metadata, spec, status
    }

    public init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        // Items of a list have neither field.
        self.apiVersion = try container.decode(.apiVersion, or: APIGroup.groupVersion)
        self.kind = try container.decode(.kind, or: APIGroup.kind)
        self.metadata = try container.decode(.metadata, or: ObjectMeta())
        do {
            self.spec = try container.decode(ModelCacheSpec.self, forKey: .spec)
            self.unreadable = nil
        } catch let error as DecodingError {
            self.spec = ModelCacheSpec(source: Source(uri: ""))
            self.unreadable = FieldProblem(error)
        }
        self.status = try? container.decodeIfPresent(ModelCacheStatus.self, forKey: .status)
    }
}
