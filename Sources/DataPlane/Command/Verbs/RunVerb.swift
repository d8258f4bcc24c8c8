import Agent
import ArgumentParser
import Foundation
import Glibc
import ObjectStore

struct RunVerb: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "run",
        abstract: "Run a program that reads the model while it still arrives.",
        discussion: """
            Sets MODEL_DIR, OSS_PATH, ENABLE_CONNECTOR and LD_PRELOAD and becomes the program. Every {} in its arguments is
            replaced by the model's folder.

            EXAMPLES
              modelcache run --source oss://models/qwen/ -- llama-server -m {}/qwen-00001-of-00015.gguf
              modelcache run --source oss://models/qwen/ --dir /tmp/qwen -- sha256sum /tmp/qwen/qwen-00001-of-00015.gguf
            """)

    @OptionGroup var source: SourceOptions

    @Option(name: .customLong("dir"), help: ArgumentHelp("The folder in which the program finds the model (MODEL_DIR).", valueName: "dir"))
    var directory: String?

    @Argument(parsing: .postTerminator, help: "The program and its arguments, after --.")
    var command: [String] = []

    func run() throws {
        do {
            guard let program = command.first else {
                throw SettingError(field: "command", value: nil, problem: "is missing", remedy: "write it after --, as in: modelcache run --source oss://b/p/ -- llama-server -m {}/x.gguf")
            }
            var environment = source.environment()
            let location = try ObjectLocation(parsing: environment["OSS_PATH"] ?? "", field: source.source == nil ? "OSS_PATH" : "--source")
            var folder = directory ?? environment["MODEL_DIR"].flatMap { $0.isEmpty ? nil : $0 } ?? Self.defaultDirectory(location)
            if !folder.hasPrefix("/") { folder = FileManager.default.currentDirectoryPath + "/" + folder }
            while folder.count > 1 && folder.hasSuffix("/") { folder.removeLast() }
            let library = try Self.library(environment)
            environment["MODEL_DIR"] = folder
            environment["OSS_PATH"] = location.description
            environment["ENABLE_CONNECTOR"] = "1"
            let preloaded = environment["LD_PRELOAD"].flatMap { $0.isEmpty ? nil : $0 }
            environment["LD_PRELOAD"] = preloaded.map { "\(library):\($0)" } ?? library
            let arguments = command.map { $0.replacing("{}", with: folder) }
            for (name, value) in environment { setenv(name, value, 1) }
            var pointers: [UnsafeMutablePointer<CChar>?] = arguments.map { strdup($0) }
            pointers.append(nil)
            execvp(program, pointers)
            let reason = String(cString: strerror(errno))
            FileHandle.standardError.write(Data("modelcache: cannot run \(program): \(reason); check the name and PATH\n".utf8))
            // The shell's convention for a command that was not found.
            Glibc.exit(127)
        } catch {
            fail(error)
        }
    }

    /// A place of its own for each source and user.
    static func defaultDirectory(_ location: ObjectLocation) -> String {
        let name = ([location.bucket] + location.prefix.split(separator: "/").map(String.init)).joined(separator: "/")
        return "/tmp/modelcache-\(getuid())/\(name)"
    }

    /// The preload library: MODELCACHE_PRELOAD, else `../lib` beside this program's folder, else beside it.
    static func library(_ environment: [String: String]) throws -> String {
        if let named = environment["MODELCACHE_PRELOAD"], !named.isEmpty { return named }
        let executable = try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")
        let folder = (executable as NSString).deletingLastPathComponent
        let candidates = [
            (folder as NSString).deletingLastPathComponent + "/lib/libossc_preload.so", folder + "/libossc_preload.so",
        ]
        guard let found = candidates.first(where: { FileManager.default.fileExists(atPath: $0) }) else {
            throw SettingError(
                field: "libossc_preload.so", value: candidates[0], problem: "does not exist",
                remedy: "install it there, or set MODELCACHE_PRELOAD to its path")
        }
        return found
    }
}
