import CRD
import Foundation
import Testing
import Yams

@Suite struct SchemaTests {
    static let folder = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "../../config/crd").standardized

    private var root: JSONTree {
        CustomResourceDefinition.tree()["spec"]?["versions"]?.element(0)?["schema"]?["openAPIV3Schema"] ?? .null
    }

    @Test func `config is what the types say`() throws {
        let base = try String(contentsOf: Self.folder.appending(path: "bases/modelcache.io_modelcaches.yaml"), encoding: .utf8)
        #expect(base == CustomResourceDefinition.yaml(), "run hack/generate")
        let rules = try String(contentsOf: Self.folder.appending(path: "cel/rules.yaml"), encoding: .utf8)
        #expect(rules == CustomResourceDefinition.rulesPatchYAML(), "run hack/generate")
    }

    @Test(arguments: CustomResourceDefinition.Level.allCases)
    func `another reader of YAML sees the same tree`(level: CustomResourceDefinition.Level) throws {
        let read = try YAMLDecoder().decode(JSONTree.self, from: CustomResourceDefinition.yaml(level))
        #expect(read == CustomResourceDefinition.tree(level))
    }

    @Test func `awkward text stays what it is in YAML`() throws {
        let texts = ["", "true", "No", "1e5", "a: b", "a #b", "-", "- a", "é", "a\nb\t\"", "'", "null", "~", "x ", "0x1f"]
        for text in texts {
            // By way of a definition's only free text there is no way in: the message of a problem serves.
            let node = try Yams.compose(yaml: JSONTree.string(text).text())
            #expect(node?.string == text)
        }
    }

    @Test func `the rules patch makes one definition of the other`() throws {
        guard case .array(let operations) = CustomResourceDefinition.rulesPatch() else { throw Missing() }
        var tree = CustomResourceDefinition.tree(.legacy)
        for operation in operations {
            guard case .string(let path)? = operation["path"], let value = operation["value"] else { throw Missing() }
            tree = tree.adding(value, at: path.split(separator: "/")[...])
        }
        #expect(!operations.isEmpty)
        #expect(tree == CustomResourceDefinition.tree(.current))
    }

    @Test func `every property of the types is in the schema and every one of the schema in the types`() throws {
        var properties: Set<String> = []
        for party in Documents.parties {
            var document = Documents.full
            document.spec.source.credentials = party
            let full = try JSONTree(encoding: document)
            // metadata is the server's own.
            properties.formUnion(
                Self.paths(value: .object(["spec": full["spec"] ?? .null, "status": full["status"] ?? .null]), at: ""))
        }
        var schema = Set(Self.paths(schema: root, at: ""))
        schema = schema.filter { !$0.hasPrefix(".metadata") && $0 != ".apiVersion" && $0 != ".kind" }
        #expect(properties == schema)
    }

    @Test func `every schema default is what decoding fills in`() throws {
        let decoded = try JSONTree(encoding: Documents.decode(Documents.minimal))
        let spec = root["properties"]?["spec"] ?? .null
        var filled = JSONTree.object(["source": ["uri": "oss://models/gemma/"]])
        filled = Self.defaulted(filled, spec)
        #expect(decoded["spec"] == filled)
    }

    @Test func `the schema is structural and bounded`() {
        var count = 0
        Self.visit(root, at: "") { path, node in
            count += 1
            let type = node["type"]
            #expect(type != nil || node["x-kubernetes-int-or-string"] != nil, "\(path)")
            if type == "array" { #expect(node["maxItems"] != nil && node["x-kubernetes-list-type"] != nil, "\(path)") }
            if type == "string", path != ".apiVersion", path != ".kind" {
                #expect(node["maxLength"] != nil || node["enum"] != nil, "\(path)")
            }
            #expect(node["$ref"] == nil && node["nullable"] == nil)
        }
        #expect(count > 60)
    }

    @Test func `every pattern compiles`() {
        var count = 0
        Self.visit(root, at: "") { path, node in
            guard case .string(let pattern)? = node["pattern"] else { return }
            count += 1
            #expect(throws: Never.self, "\(path)") { _ = try Regex(pattern) }
        }
        #expect(count > 5)
    }

    // MARK: Walking

    private struct Missing: Error {}

    private static func visit(_ node: JSONTree, at path: String, _ look: (String, JSONTree) throws -> Void) rethrows {
        try look(path, node)
        for (name, child) in members(node["properties"]) { try visit(child, at: "\(path).\(name)", look) }
        if let items = node["items"] { try visit(items, at: "\(path)[]", look) }
        if let values = node["additionalProperties"] { try visit(values, at: "\(path){}", look) }
    }

    private static func members(_ tree: JSONTree?) -> [(String, JSONTree)] {
        if case .object(let members)? = tree { members.sorted { $0.key < $1.key } } else { [] }
    }

    private static func paths(schema: JSONTree, at path: String) -> [String] {
        var paths: [String] = []
        visit(schema, at: path) { path, _ in
            if path != "", !path.hasSuffix("[]"), !path.hasSuffix("{}") { paths.append(path) }
        }
        return paths
    }

    private static let usersMaps: Set<String> = [
        ".spec.placement.nodeSelector", ".spec.warmup.podTemplate.labels", ".spec.warmup.podTemplate.annotations",
        ".spec.warmup.podTemplate.resources.requests", ".spec.warmup.podTemplate.resources.limits",
    ]

    private static func paths(value: JSONTree, at path: String) -> [String] {
        switch value {
        case .object(let members):
            members.flatMap { name, child -> [String] in
                // A map's keys are the user's.
                usersMaps.contains(path) ? [] : ["\(path).\(name)"] + paths(value: child, at: "\(path).\(name)")
            }
        case .array(let elements): elements.flatMap { paths(value: $0, at: "\(path)[]") }
        default: []
        }
    }

    /// What the API server's defaulting does.
    private static func defaulted(_ value: JSONTree, _ schema: JSONTree) -> JSONTree {
        guard case .object(var members) = value else { return value }
        for (name, child) in Self.members(schema["properties"]) {
            if members[name] == nil, let fallback = child["default"] { members[name] = fallback }
            if let member = members[name] { members[name] = defaulted(member, child) }
        }
        return .object(members)
    }
}

extension JSONTree {
    fileprivate func element(_ index: Int) -> JSONTree? {
        if case .array(let elements) = self, index < elements.count { elements[index] } else { nil }
    }

    fileprivate func adding(_ value: JSONTree, at path: ArraySlice<Substring>) -> JSONTree {
        guard let head = path.first else { return value }
        switch self {
        case .array(var elements):
            guard let index = Int(head), index < elements.count else { return self }
            elements[index] = elements[index].adding(value, at: path.dropFirst())
            return .array(elements)
        case .object(var members):
            members[String(head)] = (members[String(head)] ?? .null).adding(value, at: path.dropFirst())
            return .object(members)
        default:
            return value
        }
    }
}
