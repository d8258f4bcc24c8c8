enum Golden {
    static let manifest =
        #"{"checksum":"08c45fbf6a70ae4c","chunkBytes":4194304,"files":[{"checksums":{"crc64":42},"etag":"E","key":"a.gguf","size":7}],"generation":"a1f1e0c0e52684349c2db69a506ab204","identity":{"bucket":"b","endpoint":"https://oss.example","prefix":"models/Gemma/"},"version":1}"#
}
