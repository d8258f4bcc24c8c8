/// Keeps a cache in use while its files are read for another cache: it is not evicted meanwhile, unless by force. It
/// ends when the last reference goes.
public final class CacheLoan: Sendable {
    private let model: CachedModel

    public init(_ model: CachedModel) {
        self.model = model
        model.retain()
    }

    deinit { model.release() }
}
