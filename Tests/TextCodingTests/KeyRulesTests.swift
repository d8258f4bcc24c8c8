import Testing
import TextCoding

@Suite struct KeyRulesTests {
    @Test(arguments: [
        ("", "has the prefix itself as its name"), ("a//b", "has two slashes in a row"), ("/a", "has two slashes in a row"),
        ("a/./b", "has the part \".\""), ("../a", "has the part \"..\""), ("a/..", "has the part \"..\""),
        ("../\u{301}a", "has the part \"..\""), ("a\0b", "has a control character"), ("a\u{7f}", "has a control character"),
        ("a/", "ends in a slash, as folders do, and yet holds bytes"), (".modelcache/x", "begins with .modelcache, a folder of the cache itself"),
        (".partial", "begins with .partial, a folder of the cache itself"),
    ])
    func `a key that cannot be a file says why`(key: String, problem: String) {
        #expect(KeyRules.problem(with: key) == problem)
    }

    @Test func `limits count bytes`() {
        let part = String(repeating: "x", count: 253)
        #expect(KeyRules.problem(with: part + "é") == nil)
        #expect(KeyRules.problem(with: part + "éx") == "has a part longer than 255 bytes")
        #expect(KeyRules.problem(with: String(repeating: "x/", count: 1500)) != nil)
        #expect(KeyRules.problem(with: String(repeating: "x/", count: 1499) + "xx") == nil)
        #expect(KeyRules.problem(with: String(repeating: "x/", count: 1500) + "x") == "is longer than 3000 bytes")
    }

    @Test(arguments: ["...", "..a", "a/.partial", ".partial\u{301}", "模型 +%.gguf", "a b", "a\u{301}/b"])
    func `every other key is a file's`(key: String) { #expect(KeyRules.problem(with: key) == nil) }

    @Test func `a slash before a combining mark is a slash`() {
        let key = "a/\u{301}b/c"
        #expect(KeyRules.parts(key) == ["a", "\u{301}b", "c"])
        #expect(KeyRules.folders(Array(key.utf8)).map(Array.init) == [Array("a".utf8), Array("a/\u{301}b".utf8)])
    }
}
