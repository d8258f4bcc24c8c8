internal import FoundationEssentials
import Glibc

/// The names in a folder.
package enum FolderListing {
    /// Errors: `.io` with what the system said: that descriptors ran out is no fault of the device.
    package static func names(in path: String) throws(ChunkStoreError) -> [String] {
        do { return try FileManager.default.contentsOfDirectory(atPath: path) } catch {
            let cause = (error as? CocoaError)?.underlying as? POSIXError ?? error as? POSIXError
            throw .io(operation: "list", path: path, errno: cause?.code.rawValue ?? EIO)
        }
    }
}
