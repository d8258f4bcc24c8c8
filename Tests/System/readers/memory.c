/* Operations on mappings. */
#include "sequence.h"
#include <sys/mman.h>
#include <sys/syscall.h>

static int protection(struct operation *o, int word)
{
    int bits = PROT_NONE;
    for (const char *p = word < o->count ? o->word[word] : ""; *p; p++)
        bits |= *p == 'r' ? PROT_READ : *p == 'w' ? PROT_WRITE : *p == 'x' ? PROT_EXEC : 0;
    return bits;
}

static struct mapping *mapping(struct lane *l, struct operation *o) { return &l->map[slot(o, 1)]; }
/* Where OFFSET of the mapping lies; 0 when [OFFSET, OFFSET + BYTES) is not inside its pages. */
static unsigned char *inside(struct lane *l, struct operation *o)
{
    struct mapping *m = mapping(l, o);
    size_t all = (m->bytes + 4095) & ~4095ul, from = (size_t)number(o, 2), n = (size_t)number(o, 3);
    if (!m->at || from > all || n > all - from) {
        say(l, " outside");
        return 0;
    }
    return m->at + from;
}

/* mmap M S OFFSET BYTES FLAGS PROTECTION */
static void op_mmap(struct lane *l, struct operation *o)
{
    struct mapping *m = mapping(l, o);
    const char *letters = o->word[5];
    int flags = strchr(letters, 's') ? MAP_SHARED : MAP_PRIVATE;
    if (strchr(letters, 'P')) flags |= MAP_POPULATE;
    if (strchr(letters, 'L')) flags |= MAP_LOCKED;
    if (strchr(letters, 'N')) flags |= MAP_NORESERVE;
    if (strchr(letters, 'f')) flags |= MAP_FIXED;
    /* Over the mapping that the slot has, and no more than that. */
    size_t bytes = (size_t)number(o, 4);
    void *at = strchr(letters, 'f') ? m->at : 0;
    if (!at) flags &= ~MAP_FIXED;
    else if (bytes > m->bytes) bytes = m->bytes;
    void *p = mmap(at, bytes, protection(o, 6), flags, l->fd[slot(o, 2)], number(o, 3));
    say_result(l, p == MAP_FAILED ? -1 : 0);
    if (p == MAP_FAILED) { if (!at) *m = (struct mapping){0}; return; }
    *m = (struct mapping){p, bytes};
}
/* touch M OFFSET BYTES: the bytes, or the signal that they give. */
static void op_touch(struct lane *l, struct operation *o)
{
    unsigned char *at = inside(l, o);
    if (!at) return;
    TOUCHING({
        uint64_t h = digest(at, (size_t)number(o, 3));
        say(l, " %016lx", (unsigned long)h);
    }, { say(l, " signal %d", lost_); });
}
static void op_poke(struct lane *l, struct operation *o)
{
    unsigned char *at = inside(l, o);
    if (!at) return;
    TOUCHING({ memset(at, (int)number(o, 4), (size_t)number(o, 3)); }, { say(l, " signal %d", lost_); });
}
/* The kernel reads the mapping: write(2) from it, on after a short count, which a page that fails gives. */
static void op_out(struct lane *l, struct operation *o)
{
    unsigned char *at = inside(l, o);
    if (!at) return;
    int memory = memfd_create("out", MFD_CLOEXEC);
    long all = number(o, 3), n = 0, r = 0;
    while (n < all && (r = write(memory, at + n, (size_t)(all - n))) > 0) n += r;
    int error = errno;
    unsigned char *to = buffer(l, (size_t)n + 1);
    if (syscall(SYS_pread64, memory, to, n, 0) != n) abort();
    syscall(SYS_close, memory);
    errno = error;
    say_bytes(l, r < 0 ? -1 : n, to);
}
/* The kernel writes the mapping: pread(2) into it. */
static void op_into(struct lane *l, struct operation *o)
{
    unsigned char *at = inside(l, o);
    if (at) say_result(l, pread(l->fd[slot(o, 4)], at, (size_t)number(o, 3), number(o, 5)));
}
static void op_advise(struct lane *l, struct operation *o)
{
    unsigned char *at = inside(l, o);
    if (at) say_result(l, madvise(at, (size_t)number(o, 3), (int)number(o, 4)));
}
static void op_protect(struct lane *l, struct operation *o)
{
    unsigned char *at = inside(l, o);
    if (at) say_result(l, mprotect(at, (size_t)number(o, 3), protection(o, 4)));
}
static void op_lock(struct lane *l, struct operation *o)
{
    unsigned char *at = inside(l, o);
    if (at) say_result(l, mlock(at, (size_t)number(o, 3)));
}
static void op_unlock(struct lane *l, struct operation *o)
{
    unsigned char *at = inside(l, o);
    if (at) say_result(l, munlock(at, (size_t)number(o, 3)));
}
static void op_sync(struct lane *l, struct operation *o)
{
    struct mapping *m = mapping(l, o);
    if (m->at) say_result(l, msync(m->at, m->bytes, MS_SYNC));
}
/* remap M BYTES: it may move. */
static void op_remap(struct lane *l, struct operation *o)
{
    struct mapping *m = mapping(l, o);
    if (!m->at) return;
    void *p = mremap(m->at, m->bytes, (size_t)number(o, 2), MREMAP_MAYMOVE);
    say_result(l, p == MAP_FAILED ? -1 : 0);
    if (p != MAP_FAILED) *m = (struct mapping){p, (size_t)number(o, 2)};
}
/* unmap M head|tail|all BYTES */
static void op_unmap(struct lane *l, struct operation *o)
{
    struct mapping *m = mapping(l, o);
    if (!m->at) return;
    size_t all = (m->bytes + 4095) & ~4095ul, n = (size_t)number(o, 3);
    if (*o->word[2] == 'a' || n >= all) {
        say_result(l, munmap(m->at, m->bytes));
        *m = (struct mapping){0};
    } else if (*o->word[2] == 'h') {
        say_result(l, munmap(m->at, n));
        m->at += n, m->bytes -= n;
    } else {
        say_result(l, munmap(m->at + all - n, n));
        m->bytes = all - n;
    }
}

const struct entry memory_operations[] = {
    {"mmap", op_mmap}, {"touch", op_touch}, {"poke", op_poke}, {"out", op_out}, {"into", op_into}, {"advise", op_advise},
    {"protect", op_protect}, {"lock", op_lock}, {"unlock", op_unlock}, {"sync", op_sync}, {"remap", op_remap},
    {"unmap", op_unmap}, {0, 0}};
