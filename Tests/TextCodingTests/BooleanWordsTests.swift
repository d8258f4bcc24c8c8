import Testing
import TextCoding

/// Switches with a value, as kubectl and Go's programs take them.
@Suite struct BooleanWordsTests {
    @Test(arguments: [
        (["--watch=true", "--all=T", "-w=1"], ["--watch", "--all", "-w"]), (["--watch=false", "-w=0", "x"], ["x"]),
        (["--watch=maybe", "--other=true", "--w=true", "-watch=true"], ["--watch=maybe", "--other=true", "--w=true", "-watch=true"]),
        // Another program's.
        (["--all=true", "--", "--all=true"], ["--all", "--", "--all=true"]), (["", "-", "--"], ["", "-", "--"]),
        (["--elect=false", "--elect=true", "--elect"], ["--no-elect", "--elect", "--elect"]),
    ] as [([String], [String])])
    func `a switch is there, absent or negated`(arguments: [String], rewritten: [String]) {
        #expect(BooleanWords(["watch", "w", "all"], negatable: ["elect"]).rewritten(arguments) == rewritten)
    }

    @Test func `one dash is two where Go's flag package is imitated`() {
        let words = BooleanWords(["patch"], negatable: ["elect"], allowsOneDash: true)
        #expect(
            words.rewritten(["-elect", "-elect=false", "-patch=true", "--patch", "-patch=false", "---patch"])
                == ["--elect", "--no-elect", "--patch", "--patch", "---patch"])
    }
}
