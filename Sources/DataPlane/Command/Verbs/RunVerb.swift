import Agent
import ArgumentParser
import Foundation
import Glibc
import ObjectStore
internal import TextCoding

struct RunVerb: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "run",
        abstract: "Run a program that reads the model while it still arrives.",
        usage: "modelcache run [<options>] -- <program> [<argument> ...]",
        discussion: """
            Sets LD_PRELOAD, ENABLE_CONNECTOR, and MODEL_DIR with OSS_PATH or MODELCACHE_MODELS, and becomes the program. \
            Every {} in its arguments is replaced by the model's folder. Of several models each has a name, and {NAME} \
            is replaced by its folder; {{NAME}} stands for the text {NAME}. A model that the program does not touch \
            is not read.

            EXAMPLES
              modelcache run --source oss://models/qwen/ -- llama-server -m {}/qwen.gguf
              modelcache run --source oss://models/qwen/ --dir /tmp/qwen -- \\
                sha256sum /tmp/qwen/qwen.gguf
              modelcache run --source base=oss://models/qwen/ \\
                --source draft=oss://models/qwen-draft/ -- \\
                llama-server -m {base}/qwen.gguf -md {draft}/draft.gguf
              modelcache run --source a=oss://models/a/ --source b=s3://other/b/ \\
                --dir a=/tmp/m/a --dir b=/tmp/m/b -- llama-server --models-dir /tmp/m
            """)

    @Option(
        help: ArgumentHelp(
            "A model's prefix, oss://bucket/prefix/ or s3://bucket/prefix/ (OSS_PATH); NAME=uri, repeated, for several.",
            valueName: "uri"))
    var source: [String] = []

    @OptionGroup var store: StoreOptions

    @Option(
        name: .customLong("dir"),
        help: ArgumentHelp(
            "The folder in which the program finds the model (MODEL_DIR); NAME=dir, repeated, for named ones.",
            valueName: "dir"))
    var directory: [String] = []

    @Argument(parsing: .postTerminator, help: "The program and its arguments, after --.")
    var command: [String] = []

    func run() throws {
        do {
            guard let program = command.first else {
                throw SettingError(
                    field: "command", value: nil, problem: "is missing",
                    remedy: "write it after --, as in: "
                        + "modelcache run --source oss://models/qwen/ -- llama-server -m {}/qwen.gguf")
            }
            let models = try RunModels(
                sources: source, directories: directory, store: store,
                environment: ProcessInfo.processInfo.environment, user: getuid())
            var environment = try models.environment
            let library = try Self.library(environment)
            environment["ENABLE_CONNECTOR"] = "1"
            let preloaded = environment["LD_PRELOAD"].flatMap { $0.isEmpty ? nil : $0 }
            environment["LD_PRELOAD"] = preloaded.map { "\(library):\($0)" } ?? library
            let arguments = try models.replaced(in: command)
            try models.makeFolders(user: getuid())
            for name in ProcessInfo.processInfo.environment.keys where environment[name] == nil { unsetenv(name) }
            for (name, value) in environment { setenv(name, value, 1) }
            var pointers: [UnsafeMutablePointer<CChar>?] = arguments.map { strdup($0) }
            pointers.append(nil)
            execvp(program, pointers)
            let reason = String(cString: strerror(errno))
            FileHandle.standardError.write(
                Data("modelcache: cannot run \(program): \(reason); check the name and PATH\n".utf8))
            // The shell's convention for a command that was not found.
            Glibc.exit(127)
        } catch {
            fail(error)
        }
    }

    /// The preload library: MODELCACHE_PRELOAD, else in `../lib` beside this program's folder, else beside this
    /// program.
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
