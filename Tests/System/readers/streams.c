/* Operations on streams of stdio. */
#include "sequence.h"

static FILE *stream(struct lane *l, struct operation *o) { return l->stream[slot(o, 1)]; }

static void keep(struct lane *l, struct operation *o, FILE *opened)
{
    l->stream[slot(o, 1)] = opened;
    say_result(l, opened ? 0 : -1);
}
static void op_fopen(struct lane *l, struct operation *o) { keep(l, o, fopen(path_of(l, o, 2), o->word[3])); }
static void op_fdopen(struct lane *l, struct operation *o)
{
    FILE *opened = fdopen(l->fd[slot(o, 2)], o->word[3]);
    keep(l, o, opened);
    if (opened) l->fd[slot(o, 2)] = -1;
}
static void op_freopen(struct lane *l, struct operation *o)
{
    if (stream(l, o)) keep(l, o, freopen(path_of(l, o, 2), "r", stream(l, o)));
}
static void op_fclose(struct lane *l, struct operation *o)
{
    if (stream(l, o)) say_result(l, fclose(stream(l, o)));
    l->stream[slot(o, 1)] = 0;
}
/* A stream's end is told from an error of its reads. */
static void say_error(struct lane *l, struct operation *o)
{
    if (ferror(stream(l, o))) say(l, " error %s", errno ? strerrorname_np(errno) : "before");
}
/* fread F SIZE COUNT: members, and the bytes of them. */
static void op_fread(struct lane *l, struct operation *o)
{
    if (!stream(l, o)) return;
    size_t size = (size_t)number(o, 2), count = (size_t)number(o, 3);
    unsigned char *to = buffer(l, size * count + 1);
    size_t got = fread(to, size, count, stream(l, o));
    say(l, " %zu %016lx", got, (unsigned long)digest(to, got * size));
    say_error(l, o);
}
static void op_fgets(struct lane *l, struct operation *o)
{
    if (!stream(l, o)) return;
    int n = (int)number(o, 2);
    char *to = (char *)buffer(l, (size_t)n + 1);
    memset(to, 0, (size_t)n);
    char *got = fgets(to, n, stream(l, o));
    say(l, got ? " line %016lx" : " none", (unsigned long)digest(to, got ? (size_t)n : 0));
    say_error(l, o);
}
static void op_getline(struct lane *l, struct operation *o)
{
    if (!stream(l, o)) return;
    char *line = 0;
    size_t capacity = 0;
    long n = getdelim(&line, &capacity, (int)number(o, 2), stream(l, o));
    say(l, " %016lx", (unsigned long)digest(line ? line : "", n < 0 ? 0 : (size_t)n));
    say_error(l, o);
    free(line);
}
static void op_getc(struct lane *l, struct operation *o)
{
    if (!stream(l, o)) return;
    for (long i = 0; i < number(o, 2); i++) {
        int c = getc(stream(l, o));
        say(l, " %d", c);
        if (c == EOF) break;
    }
    say_error(l, o);
}
static void op_ungetc(struct lane *l, struct operation *o) { if (stream(l, o)) say(l, " %d", ungetc((int)number(o, 2), stream(l, o))); }
static void op_fseek(struct lane *l, struct operation *o)
{
    if (stream(l, o)) say_result(l, fseeko(stream(l, o), number(o, 2), (int)number(o, 3)));
}
static void op_ftell(struct lane *l, struct operation *o) { if (stream(l, o)) say_result(l, ftello(stream(l, o))); }
static void op_rewind(struct lane *l, struct operation *o) { if (stream(l, o)) rewind(stream(l, o)); }
static void op_fstate(struct lane *l, struct operation *o)
{
    if (stream(l, o)) say(l, " end %d error %d", feof(stream(l, o)) != 0, ferror(stream(l, o)) != 0);
}
static void op_clearerr(struct lane *l, struct operation *o) { if (stream(l, o)) clearerr(stream(l, o)); }
static void op_setvbuf(struct lane *l, struct operation *o)
{
    static char space[LANES][SLOTS][8192];
    if (!stream(l, o)) return;
    int mode = number(o, 2) == 0 ? _IONBF : number(o, 2) == 1 ? _IOLBF : _IOFBF;
    size_t n = (size_t)number(o, 3);
    say(l, " %d", setvbuf(stream(l, o), n && mode != _IONBF ? space[l->id][slot(o, 1)] : 0, mode, n) != 0);
}
/* fflush of a stream that reads sets the position of the descriptor (POSIX); fileno tells it. */
static void op_fflush(struct lane *l, struct operation *o)
{
    if (!stream(l, o)) return;
    say_result(l, fflush(stream(l, o)));
    say_result(l, lseek(fileno(stream(l, o)), 0, SEEK_CUR));
}
static void op_fileno(struct lane *l, struct operation *o)
{
    if (stream(l, o)) say_descriptor(l, fileno(stream(l, o)));
}
/* A read of the descriptor under the stream, which leaves the stream alone. */
static void op_under(struct lane *l, struct operation *o)
{
    if (!stream(l, o)) return;
    unsigned char *to = buffer(l, (size_t)number(o, 2) + 1);
    say_bytes(l, pread(fileno(stream(l, o)), to, (size_t)number(o, 2), number(o, 3)), to);
}

const struct entry stream_operations[] = {
    {"fopen", op_fopen}, {"fdopen", op_fdopen}, {"freopen", op_freopen}, {"fclose", op_fclose}, {"fread", op_fread},
    {"fgets", op_fgets}, {"getline", op_getline}, {"getc", op_getc}, {"ungetc", op_ungetc}, {"fseek", op_fseek},
    {"ftell", op_ftell}, {"rewind", op_rewind}, {"fstate", op_fstate}, {"clearerr", op_clearerr}, {"setvbuf", op_setvbuf},
    {"fflush", op_fflush}, {"fileno", op_fileno}, {"under", op_under}, {0, 0}};
