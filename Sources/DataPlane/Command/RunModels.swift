import Foundation
import Glibc
import ObjectStore
import TextCoding

/// The models of `modelcache run`: one without a name, or several that each have one.
struct RunModels {
    struct Model: Hashable {
        /// "" for the only one.
        var name: String
        var location: ObjectLocation
        var folder: String
        /// `--dir` names the folder.
        var hasOwnFolder: Bool
    }

    let models: [Model]
    private let store: StoreOptions
    private let base: [String: String]

    private static let firstUse = "write --source NAME=oss://bucket/path/ for each"

    /// - Throws: ``SettingError`` for a source, name or folder that cannot be meant.
    init(
        sources: [String], directories: [String], store: StoreOptions, environment: [String: String], user: UInt32
    ) throws {
        self.store = store
        base = environment
        let named = sources.map(Self.split)
        guard named.contains(where: { $0.name != nil }) else {
            guard sources.count < 2 else {
                throw SettingError(
                    field: "--source", value: sources[1], problem: "is the second model without a name",
                    remedy: Self.firstUse)
            }
            models = [try Self.single(sources.first, directories, environment, user)]
            return
        }
        var models: [Model] = []
        for (name, uri) in named {
            guard let name else {
                throw SettingError(
                    field: "--source", value: uri, problem: "has no name beside named ones", remedy: Self.firstUse)
            }
            guard !models.contains(where: { $0.name == name }) else {
                throw SettingError(
                    field: "--source", value: name, problem: "names two models", remedy: "give each a name of its own")
            }
            let location = try ObjectLocation(parsing: uri, field: "--source \(name)")
            models.append(
                Model(
                    name: name, location: location, folder: Self.defaultFolder(location, user: user),
                    hasOwnFolder: false))
        }
        try Self.place(&models, directories)
        self.models = models
    }

    private static func single(
        _ source: String?, _ directories: [String], _ environment: [String: String], _ user: UInt32
    ) throws -> Model {
        guard directories.count < 2 else {
            throw SettingError(
                field: "--dir", value: directories[1], problem: "is the second folder of one model",
                remedy: "name one, or name the models: --source NAME=uri --dir NAME=dir")
        }
        let location = try ObjectLocation(
            parsing: source ?? environment["OSS_PATH"] ?? "", field: source == nil ? "OSS_PATH" : "--source")
        let own = directories.first ?? environment["MODEL_DIR"].flatMap { $0.isEmpty ? nil : $0 }
        return Model(
            name: "", location: location, folder: absolute(own ?? defaultFolder(location, user: user)),
            hasOwnFolder: false)
    }

    private static func place(_ models: inout [Model], _ directories: [String]) throws {
        for text in directories {
            let (name, folder) = split(text, isFolder: true)
            guard let name, let index = models.firstIndex(where: { $0.name == name }) else {
                throw SettingError(
                    field: "--dir", value: text, problem: "names none of the models \(list(models))",
                    remedy: "write --dir NAME=dir")
            }
            models[index].folder = absolute(folder)
            models[index].hasOwnFolder = true
        }
        for (index, model) in models.enumerated() {
            guard let other = models[..<index].first(where: { overlap($0.folder, model.folder) }) else { continue }
            throw SettingError(
                field: "--dir", value: model.folder,
                problem: "is the folder of \(other.name), inside it or around it, and of \(model.name) too",
                remedy: "give each model a folder of its own: --dir \(model.name)=dir")
        }
    }

    /// `NAME=rest`; without a name where what stands before the first `=` can be none.
    private static func split(_ text: String) -> (name: String?, rest: String) { split(text, isFolder: false) }

    private static func split(_ text: String, isFolder: Bool) -> (name: String?, rest: String) {
        guard let equals = text.firstIndex(of: "=") else { return (nil, text) }
        let name = String(text[..<equals]), rest = String(text[text.index(after: equals)...])
        guard isName(name), isFolder || rest.contains("://") else { return (nil, text) }
        return (name, rest)
    }

    private static func isName(_ text: String) -> Bool {
        !text.isEmpty
            && text.utf8.allSatisfy { byte in
                switch byte {
                case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                    UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "_"), UInt8(ascii: "."):
                    true
                default: false
                }
            }
    }

    private static func absolute(_ folder: String) -> String {
        var path = folder.hasPrefix("/") ? folder : FileManager.default.currentDirectoryPath + "/" + folder
        while path.count > 1 && path.hasSuffix("/") { path.removeLast() }
        return path
    }

    /// A separate folder for each source and user.
    private static func defaultFolder(_ location: ObjectLocation, user: UInt32) -> String {
        let name = ([location.bucket] + location.prefix.split(separator: "/").map(String.init)).joined(separator: "/")
        return "\(defaultRoot(user: user))/\(name)"
    }

    private static func defaultRoot(user: UInt32) -> String { "/tmp/modelcache-\(user)" }

    private static func overlap(_ one: String, _ other: String) -> Bool {
        one == other || one.hasPrefix(other + "/") || other.hasPrefix(one + "/")
    }

    private static func list(_ models: [Model]) -> String { models.map(\.name).joined(separator: ", ") }
}

// MARK: The program's environment

extension RunModels {
    private static let sourceVariables = [
        "MODELCACHE_INCLUDE", "MODELCACHE_ADDRESSING", "MODELCACHE_SIGNATURE", "MODELCACHE_REQUEST_PAYER",
    ]

    /// The environment with the settings that the preload library reads.
    ///
    /// - Throws: ``SettingError`` for a folder that the list cannot hold.
    var environment: [String: String] {
        get throws {
            if let only = models.first, only.name.isEmpty {
                var environment = store.environment(source: only.location.description, over: base)
                environment["MODEL_DIR"] = only.folder
                return environment
            }
            // One pair of keys serves one kind of store: models of both kinds get their settings one by one.
            let isMixed = Set(models.map(\.location.scheme)).count > 1
            var environment = isMixed ? base : store.environment(source: models[0].location.description, over: base)
            environment["MODEL_DIR"] = nil
            environment["OSS_PATH"] = nil
            environment["MODELCACHE_MODELS"] = try models.map { model in
                guard !model.folder.contains(where: { $0 == ";" || $0.isNewline }), !model.folder.contains("://") else {
                    throw SettingError(
                        field: "--dir", value: model.folder, problem: "holds a semicolon, a line break or ://",
                        remedy: "name another folder: --dir \(model.name)=dir")
                }
                return "\(model.folder)=\(model.location)"
            }.joined(separator: "\n")
            guard isMixed else { return environment }
            for (index, model) in models.enumerated() {
                let own = store.environment(source: model.location.description, over: base).filter {
                    $0.key != "OSS_PATH"
                        && ($0.key.hasPrefix("OSS_") || $0.key.hasPrefix("AWS_")
                            || Self.sourceVariables.contains($0.key))
                }
                environment.merge(own.map { ("MODELCACHE_MODEL_\(index + 1)_\($0.key)", $0.value) }) { mine, _ in mine }
            }
            return environment
        }
    }

    /// Makes the folders that `--dir` names, so that a program that lists the folder around them finds them, and the
    /// one of this user in /tmp where a model has none.
    ///
    /// - Throws: ``SettingError`` for a folder that cannot be made, or in which another user could put files: what lies
    ///   in a MODEL_DIR is read in place of the store's.
    func makeFolders(user: UInt32) throws {
        let root = Self.defaultRoot(user: user)
        if models.contains(where: { $0.folder.hasPrefix(root + "/") }) { try Self.makeOwn(root, user: user) }
        for model in models where model.hasOwnFolder {
            do {
                try FileManager.default.createDirectory(atPath: model.folder, withIntermediateDirectories: true)
            } catch {
                throw SettingError(
                    field: "--dir", value: model.folder, problem: "cannot be made",
                    remedy: "name a folder that this user may make")
            }
        }
    }

    /// In a sticky folder such as /tmp nobody can replace a folder of the user's own.
    private static func makeOwn(_ path: String, user: UInt32) throws {
        guard mkdir(path, 0o700) != 0 else { return }
        let reason = String(cString: strerror(errno))
        let remedy = "remove it, or name a folder with --dir"
        var status = stat()
        guard lstat(path, &status) == 0 else {
            throw SettingError(
                field: "--dir", value: path, problem: "cannot be made: \(reason)", remedy: "name a folder with --dir")
        }
        guard status.st_mode & S_IFMT == S_IFDIR, status.st_uid == user else {
            throw SettingError(
                field: "--dir", value: path, problem: "is no folder of this user's (user \(status.st_uid) made it)",
                remedy: remedy)
        }
        guard status.st_mode & (S_IWGRP | S_IWOTH) == 0 else {
            throw SettingError(field: "--dir", value: path, problem: "may be written to by others", remedy: remedy)
        }
    }

    // MARK: Placeholders

    /// The arguments with the folders in place of `{}` or `{NAME}`.
    ///
    /// - Throws: ``SettingError`` for a name that no model has, and for a model that no argument names.
    func replaced(in arguments: [String]) throws -> [String] {
        if let only = models.first, only.name.isEmpty {
            return arguments.map { $0.replacing("{}", with: only.folder) }
        }
        var used: Set<String> = []
        let result = try arguments.map { try replaced(in: $0, &used) }
        for model in models where !model.hasOwnFolder && !used.contains(model.name) {
            throw SettingError(
                field: "--source", value: model.name, problem: "is used by no argument of the program",
                remedy: "write {\(model.name)} where its folder belongs, or name the folder: --dir \(model.name)=dir")
        }
        return result
    }

    private func replaced(in argument: String, _ used: inout Set<String>) throws -> String {
        var result = ""
        var rest = Substring(argument)
        while let open = rest.firstIndex(of: "{") {
            result += rest[..<open]
            rest = rest[rest.index(after: open)...]
            if let name = Self.escaped(rest) {
                result += "{\(name)}"
                rest = rest.dropFirst(name.count + 3)
            } else if result.last != "$", let name = Self.placeholder(rest) {
                guard let model = models.first(where: { $0.name == name }) else { throw unknown(name) }
                used.insert(name)
                result += model.folder
                rest = rest.dropFirst(name.count + 1)
            } else {
                // A shell's ${NAME}, or a brace of the program's own.
                result += "{"
            }
        }
        return result + rest
    }

    /// NAME of `NAME}...`, which may be empty.
    private static func placeholder(_ text: Substring) -> String? {
        guard let close = text.firstIndex(of: "}") else { return nil }
        let name = String(text[..<close])
        return name.isEmpty || isName(name) ? name : nil
    }

    /// NAME of `{NAME}}...`.
    private static func escaped(_ text: Substring) -> String? {
        guard text.first == "{", let name = placeholder(text.dropFirst()),
            text.dropFirst(name.count + 2).first == "}"
        else { return nil }
        return name
    }

    private func unknown(_ name: String) -> SettingError {
        SettingError(
            field: "command", value: "{\(name)}",
            problem: name.isEmpty ? "does not say which model is meant" : "names none of the models",
            remedy: "write one of \(models.map { "{\($0.name)}" }.joined(separator: ", ")), or {{\(name)}} for the text"
        )
    }
}
