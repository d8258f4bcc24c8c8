/// The finalizer that a ModelCache has while copies of it may be on nodes.
public enum Finalizer {
    public static let name = "modelcache.io/evict"
}
