enum Golden {
    static let manifest =
        #"{"checksum":"10d496e63cac3cc5","chunkBytes":4194304,"files":[{"checksums":{"crc64":42},"etag":"E","index":0,"key":"a.gguf","#
        + #""size":7}],"generation":"a1f1e0c0e52684349c2db69a506ab204","identity":{"bucket":"b","#
        + #""endpoint":"https://oss.example","prefix":"models/Gemma/"},"nextIndex":1,"set":1,"version":2}"#

    /// As releases before the numbered sets wrote it.
    static let manifestOfVersion1 =
        #"{"checksum":"08c45fbf6a70ae4c","chunkBytes":4194304,"files":[{"checksums":{"crc64":42},"etag":"E","key":"a.gguf","#
        + #""size":7}],"generation":"a1f1e0c0e52684349c2db69a506ab204","identity":{"bucket":"b","#
        + #""endpoint":"https://oss.example","prefix":"models/Gemma/"},"version":1}"#

    /// A presence file after one chunk ("abcdefg") of the manifest above and `fail(reason: "out")`: the bytes that are not
    /// zero, by offset. `owner_beat` (96..<104) is the clock's.
    static let presence: [(offset: Int, hex: String)] = [
        (0, "00004d4350525331"),  // magic
        (8, "02000000"),  // version
        (16, "0700000000000000"),  // file_bytes: 7
        (24, "0000400000000000"),  // chunk_bytes: 4 MiB
        (32, "0100000000000000"),  // chunk_count: 1
        (40, "02000000"),  // state: failed
        (44, "03000000"),  // sequence: opened, one chunk, failed
        (48, "01000000"),  // epoch
        (56, "0002000000000000"),  // visible_offset: 512
        (64, "4002000000000000"),  // received_offset: 576
        (72, "8002000000000000"),  // checksum_offset: 640
        (80, "35e4bc19027e865bde45c71c8338636e"),  // generation: of the file
        (240, "6f7574"),  // message: "out"
        (512, "01"),  // visible: chunk 0
        (576, "01"),  // received: chunk 0
        (640, "660e71cca8a320ec"),  // CRC-64/ECMA of chunk 0
    ]
    static let presenceBytes = 648
}
