import Admission
import Foundation
import Glibc
import Kubernetes
import NIOCore

/// What the API server sends to the operator, and the files that say where it is.
let clusterTargets: [Target] = [
    Target(name: "admission-review") { bytes in
        guard let review = try? AdmissionReview(json: bytes) else { return }
        _ = review
    },
    Target(name: "json-text") { bytes in
        let value = bytes.withUnsafeBytes { try? JSONText.parse($0) }
        guard let value else { return }
        let again = JSONText.write(value).withUnsafeBytes { try? JSONText.parse($0) }
        precondition(again == value, "a document that is another when written")
    },
    Target(name: "watch-lines") { bytes in
        guard let first = bytes.first else { return }
        let body = Array(bytes.dropFirst())
        func lines(_ buffers: [ArraySlice<UInt8>]) -> [[UInt8]]? {
            var decoder = WatchLineDecoder(limit: 200)
            var all: [[UInt8]] = []
            for buffer in buffers {
                decoder.feed(ByteBuffer(bytes: buffer))
                do { while let line = try decoder.nextLine() { all.append(Array(line.readableBytesView)) } } catch {
                    return nil
                }
            }
            return all
        }
        let cut = body.isEmpty ? 0 : Int(first) % body.count
        precondition(
            lines([body[...]]) == lines([body[..<cut], body[cut...]]), "the lines depend on how the network cut them")
    },
    Target(name: "kubeconfig") { bytes in
        guard let path = file(holding: bytes) else { return }
        _ = try? ClientConfiguration.kubeconfig(paths: [path], required: true)
    },
]

/// A file with these bytes: a kubeconfig is read by its path.
private func file(holding bytes: [UInt8]) -> String? {
    ftruncate(scratch, 0)
    guard pwrite(scratch, bytes, bytes.count, 0) == bytes.count else { return nil }
    return "/proc/self/fd/\(scratch)"
}

private let scratch: CInt = {
    var path = Array("/dev/shm/modelcache-fuzz-XXXXXX".utf8CString)
    let descriptor = mkstemp(&path)
    unlink(path)
    return descriptor
}()
