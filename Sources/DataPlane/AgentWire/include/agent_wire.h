/*
 * The protocol between the preload library and the agent.
 *
 * Two channels, each for what it is good at:
 *
 *  - A SOCK_SEQPACKET unix socket carries requests. Every message is one packet, so any thread may
 *    send without a lock and no message is ever half read.
 *  - A presence file per object, mapped read-only by readers, carries the state of its chunks. A
 *    reader looks at one bit and pays no system call for a chunk that is there. State lives here
 *    alone: a lost or repeated packet can delay a reader, never mislead it.
 *
 * Everything is little-endian and naturally aligned. Both ends run on one machine.
 *
 * Layout of a model's directory ("cache directory"), owned by the agent, read-only to readers:
 *
 *   <dir>/<key>               the object, hard-linked here once every byte is verified
 *   <dir>/.partial/<key>      the same inode from the first moment: a sparse file of full length
 *   <dir>/.presence/<key>     its presence file
 *   <dir>/.modelcache/        manifest and bookkeeping, for the agent alone
 *
 * <key> is the object's key below the model's prefix.
 */
#ifndef MODELCACHE_AGENT_WIRE_H
#define MODELCACHE_AGENT_WIRE_H

#include <stdint.h>
#include <stddef.h>

#define MC_PARTIAL_DIRECTORY   ".partial"
#define MC_PRESENCE_DIRECTORY  ".presence"
#define MC_STATE_DIRECTORY     ".modelcache"

/* ---- packets ------------------------------------------------------------------------------- */

#define MC_WIRE_MAGIC    0x4d434157u  /* "WACM" in memory */
#define MC_WIRE_VERSION  1u
/* Largest packet either end sends or accepts. Settings are environment variables; 64 KiB holds them all. */
#define MC_WIRE_MAX_PACKET  65536u

enum mc_message_type {
    /* client -> agent. Body: settings (see below). Answer: MC_OPENED or MC_ERROR.
     * Opens the model (lists the source, starts to fill) and binds this connection to it. The model
     * counts as in use until the connection closes. Must be the first message of a connection. */
    MC_OPEN = 1,
    /* client -> agent. Body: struct mc_demand. No answer: the presence file tells. */
    MC_DEMAND = 2,
    /* client -> agent, no body. From now on this connection receives MC_NOTICE packets. */
    MC_SUBSCRIBE = 3,
    /* agent -> client. Body: struct mc_opened, then the NUL-terminated absolute path of the cache
     * directory. May carry one descriptor (SCM_RIGHTS): /dev/userfaultfd, opened by the agent. */
    MC_OPENED = 64,
    /* agent -> client. Body: struct mc_error, then a NUL-terminated message of one line that says
     * what is wrong and the remedy. The connection is closed by the agent afterwards. */
    MC_ERROR = 65,
    /* agent -> client, no body: some presence file changed. Coalesced; carries no state. */
    MC_NOTICE = 66,
    /* command -> agent, for `modelcache status|swarm|warm|evict|doctor`. Body: a JSON request, at most
     * 4096 bytes. Answer: JSON, cut into one or more MC_CONTROL packets; the first byte of each body is
     * '+' when more follow and '.' in the last, and no part of the JSON. The preload library never
     * sends it. */
    MC_CONTROL = 128,
};

struct mc_header {
    uint32_t magic;    /* MC_WIRE_MAGIC */
    uint16_t version;  /* MC_WIRE_VERSION */
    uint16_t type;     /* enum mc_message_type */
    uint32_t length;   /* bytes of body that follow in this packet */
    uint32_t reserved; /* 0 */
};

/* Settings travel as "NAME=value" strings, each ended by NUL, with the names of the environment
 * variables that the user set: OSS_ACCESS_KEY_ID, OSS_ACCESS_KEY_SECRET, OSS_SESSION_TOKEN,
 * OSS_ENDPOINT, OSS_REGION, OSS_PATH, MODEL_DIR, HTTP_SOURCE_IP, SSL_CERT_FILE, SSL_CERT_DIR,
 * MODELCACHE_*. Unknown names are ignored. */

struct mc_demand {
    uint32_t file;      /* mc_presence_header.file_index; one that the model does not have (any more) is ignored */
    uint32_t reserved;  /* 0 */
    uint64_t offset;    /* bytes */
    uint64_t length;    /* bytes, at least 1 */
};

enum mc_opened_flags {
    /* The cache directory is on tmpfs with huge pages: once a file is complete, dropping the
     * page-table entries (MADV_DONTNEED) lets huge mappings return. */
    MC_OPENED_HUGE_PAGES = 1,
    /* The cache directory is on a disk file system: MINOR userfaults are not to be had. */
    MC_OPENED_DISK = 2,
};

struct mc_opened {
    uint32_t flags;          /* enum mc_opened_flags */
    uint32_t file_count;
    uint64_t total_bytes;
    uint64_t set;            /* number of the set: 1, then one more each time the source's listing changed something.
                                A process remembers the set of its first opening: a file that was replaced in a
                                later one (mc_presence_header.replaced_in_set) is refused to it, so that no process
                                mixes two versions of a model. Files added later, and files that stand, are fine. */
    uint8_t  generation[8];  /* identity of the model's set of files; information only. Libraries of release 0.1 take
                                it and `set` together for the identity, and end when it changes. */
};

struct mc_error {
    uint32_t code;      /* enum mc_error_code */
    uint32_t reserved;
};

enum mc_error_code {
    MC_ERROR_SETTINGS = 1,     /* a setting is missing or wrong: the program must end */
    MC_ERROR_DENIED = 2,       /* credentials refused by the store, or the caller may not use this model */
    MC_ERROR_NOT_FOUND = 3,    /* bucket or prefix does not exist, or is empty */
    MC_ERROR_UNREACHABLE = 4,  /* endpoint cannot be reached */
    MC_ERROR_CAPACITY = 5,     /* the model is larger than the budget or the medium */
    MC_ERROR_PROTOCOL = 6,     /* malformed packet or wrong version */
    MC_ERROR_INTERNAL = 7,
};

/* ---- presence file ------------------------------------------------------------------------- */

#define MC_PRESENCE_MAGIC    0x31535250434d0000ull
#define MC_PRESENCE_VERSION  2u
#define MC_PRESENCE_HEADER_BYTES 512u
#define MC_PRESENCE_MESSAGE_BYTES 272u

enum mc_file_state {
    MC_FILE_FILLING  = 0,  /* chunks arrive; a visible chunk is complete and may be read */
    MC_FILE_COMPLETE = 1,  /* every byte is present and the whole file is verified */
    MC_FILE_FAILED   = 2,  /* cannot be completed; `message` says why. Waiting readers get EIO.
                              Chunks already visible stay readable. Also of an incomplete file that was replaced
                              or went at the source: its names then lead to the new version, or to nothing. */
};

/*
 * The presence file: this header (512 bytes), then two bitmaps of `chunk_count` bits in 64-bit words,
 * each padded to a multiple of 64 bytes: first `visible`, then `received`; then one 64-bit CRC-64/ECMA
 * per chunk. Readers look at `visible` alone. Bit i is word i/64, bit i%64. A bit is set with release
 * order after the chunk's bytes are in the file; a reader loads it with acquire order.
 *
 * `sequence` is a futex word: increased, then FUTEX_WAKEd (shared, all), after every change of the
 * map, `state` or `epoch`. A reader loads it, checks the bits, then FUTEX_WAITs on the value it
 * loaded, with a timeout of at most one second, after which it looks whether the agent lives.
 *
 * `epoch` starts at 1 and is increased when bytes that had been visible turned out to be wrong (the
 * whole file's CRC-64 failed): the bits of the suspect chunks are cleared and they are read again. A process
 * that read or mapped the file under another epoch must not go on: it prints `message` and ends.
 *
 * When an agent starts, chunks that an earlier one received are held against their CRCs before they are visible
 * (again): `visible` bits are cleared and COMPLETE becomes FILLING under the same epoch, until the bytes were found
 * right.
 *
 * `owner_pid` and `owner_beat`: the agent stores CLOCK_BOOTTIME seconds in owner_beat once a second while it
 * lives; information only (the socket tells sooner).
 */
struct mc_presence_header {
    uint64_t magic;
    uint32_t version;
    uint32_t file_index;     /* stable while the file is in the cache; another version of the key has another */
    uint64_t file_bytes;
    uint64_t chunk_bytes;    /* multiple of 2 MiB; the last chunk may be short */
    uint64_t chunk_count;
    uint32_t state;          /* enum mc_file_state, atomic */
    uint32_t sequence;       /* futex word, atomic */
    uint32_t epoch;          /* atomic */
    uint32_t reserved0;
    uint64_t visible_offset; /* of each section, from the start of the presence file */
    uint64_t received_offset;
    uint64_t checksum_offset;
    uint8_t  generation[16]; /* identity of the file: source, chunk size, key, size, ETag */
    uint64_t owner_beat;
    uint32_t header_crc32c;  /* reserved for the persistent form; 0 on tmpfs */
    uint32_t record;         /* the agent's own: 0, or how the complete file was last found to be: 1 verified,
                                2 unverifiable */
    uint64_t replaced_in_set; /* the mc_opened.set in which this version took another's place; 0: the key's first
                                 version here */
    uint64_t data_inode;     /* st_ino of the data file that this one describes: a reader that opened another file by
                                the name found an update in the middle, and opens both again. 0: not recorded */
    uint64_t published_modified; /* the agent's own: st_mtim and st_ctim of the data file when it got its plain name, */
    uint64_t published_changed;  /* in nanoseconds since 1970 */
    uint8_t  reserved2[96];
    char     message[MC_PRESENCE_MESSAGE_BYTES]; /* NUL-terminated; one line; set before `state` or `epoch` */
};

_Static_assert(sizeof(struct mc_header) == 16, "packet header");
_Static_assert(sizeof(struct mc_demand) == 24, "demand");
_Static_assert(sizeof(struct mc_opened) == 32, "opened");
_Static_assert(offsetof(struct mc_opened, set) == 16, "set");
_Static_assert(sizeof(struct mc_presence_header) == MC_PRESENCE_HEADER_BYTES, "presence header");
_Static_assert(offsetof(struct mc_presence_header, replaced_in_set) == 112, "replaced_in_set");
_Static_assert(offsetof(struct mc_presence_header, data_inode) == 120, "data_inode");
_Static_assert(offsetof(struct mc_presence_header, message) == 240, "message");

#endif
