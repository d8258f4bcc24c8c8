/* Runs one sequence of calls and prints what each gave. usage: sequence SCRIPT DIRECTORY [LANE FD,FD,...]

   The same script runs over plain files and under the library; the two must print the same. A script has a line
   `options ...`, and for each lane a line `lane N` and its operations. A line of output is `LANE.NUMBER result`. */
#include "sequence.h"
#include <signal.h>
#include <stdarg.h>
#include <sys/time.h>
#include <sys/wait.h>

const char *model_directory;
int tells_numbers;
__thread sigjmp_buf access_failed;
__thread volatile int accesses;

static struct lane lanes[LANES];
static char *program, *script, *directory;

long number(struct operation *o, int word) { return word < o->count ? strtol(o->word[word], 0, 0) : 0; }

int slot(struct operation *o, int word) { return (int)((unsigned long)number(o, word) % SLOTS); }

/* A path of the model: %XX is a byte, @ the directory itself. */
const char *path_of(struct lane *l, struct operation *o, int word)
{
    static __thread char path[8192];
    (void)l;
    size_t n = 0;
    const char *from = word < o->count ? o->word[word] : "";
    if (*from == '@') from++, n = (size_t)snprintf(path, sizeof path, "%s", *model_directory ? model_directory : ".");
    else if (*model_directory && strcmp(from, "%")) n = (size_t)snprintf(path, sizeof path, "%s/", model_directory);
    for (; *from && n < sizeof path - 1; from++) {
        unsigned byte;
        if (*from == '%' && sscanf(from + 1, "%2x", &byte) == 1) path[n++] = (char)byte, from += 2;
        else if (*from != '%') path[n++] = *from;
    }
    path[n] = 0;
    return path;
}

unsigned char *buffer(struct lane *l, size_t bytes)
{
    if (bytes > l->capacity) {
        free(l->buffer);
        l->buffer = malloc(l->capacity = bytes);
        if (!l->buffer) abort();
    }
    return l->buffer;
}

uint64_t digest(const void *bytes, size_t count)
{
    uint64_t h = 0xcbf29ce484222325u ^ count, word;
    const unsigned char *p = bytes;
    for (; count >= 8; p += 8, count -= 8) memcpy(&word, p, 8), h = (h ^ word) * 0x100000001b3u, h ^= h >> 29;
    for (; count; count--) h = (h ^ *p++) * 0x100000001b3u;
    return h ^ h >> 32;
}

void say(struct lane *l, const char *format, ...)
{
    size_t n = strlen(l->text);
    va_list list;
    va_start(list, format);
    vsnprintf(l->text + n, sizeof l->text - n, format, list);
    va_end(list);
}

void say_result(struct lane *l, long value)
{
    if (value < 0) say(l, " %ld %s", value, strerrorname_np(errno) ? strerrorname_np(errno) : "?");
    else say(l, " %ld", value);
}

void say_bytes(struct lane *l, long value, const void *bytes)
{
    say_result(l, value);
    if (value > 0) say(l, " %016lx", (unsigned long)digest(bytes, (size_t)value));
}

/* The library has descriptors of its own at high numbers, which may be taken. */
void say_descriptor(struct lane *l, int value)
{
    if (value < 0 || (tells_numbers && value < 256)) say_result(l, value);
    else say(l, " open");
}

static void on_bad_access(int signal)
{
    if (!accesses) _exit(128 + signal);
    accesses = 0;
    siglongjmp(access_failed, signal);
}
static void on_alarm(int signal) { (void)signal; }

/* ---- lanes ---- */

static void run(struct lane *);
static void *run_thread(void *lane) { run(lane); return 0; }

static void inherit(struct lane *from, struct lane *to)
{
    memcpy(to->fd, from->fd, sizeof to->fd);
    memcpy(to->map, from->map, sizeof to->map);
    memset(to->stream, 0, sizeof to->stream);
}

static void op_thread(struct lane *l, struct operation *o)
{
    struct lane *other = &lanes[number(o, 1) % LANES];
    inherit(l, other);
    int error = pthread_create(&l->thread[other->id], 0, run_thread, other);
    l->runs[other->id] = !error;
    say_result(l, -error);
}
static void op_join(struct lane *l, struct operation *o)
{
    int other = (int)number(o, 1) % LANES;
    if (l->runs[other]) say_result(l, -pthread_join(l->thread[other], 0));
    l->runs[other] = 0;
}

static void wait_for(struct lane *l, pid_t child)
{
    int status;
    while (waitpid(child, &status, 0) < 0) if (errno != EINTR) { say_result(l, -1); return; }
    if (WIFEXITED(status)) say(l, " exit %d", WEXITSTATUS(status));
    else say(l, " signal %d", WTERMSIG(status));
}

static void become(struct lane *l, struct lane *other)
{
    char list[160] = "", id[16];
    for (int i = 0; i < SLOTS; i++) snprintf(list + strlen(list), sizeof list - strlen(list), "%d,", l->fd[i]);
    snprintf(id, sizeof id, "%d", other->id);
    setitimer(ITIMER_REAL, &(struct itimerval){0}, 0);  /* exec keeps it, and not the handler */
    execl(program, program, script, directory, id, list, (char *)0);
    _exit(127);
}

/* The child goes on as lane N; `wait` ends it. */
static void op_fork(struct lane *l, struct operation *o)
{
    struct lane *other = &lanes[number(o, 1) % LANES];
    pid_t child = fork();
    if (child == 0) {
        inherit(l, other);
        tells_numbers = 0;  /* the library's thread connects anew, at a low number for a moment */
        run(other);
        _exit(0);
    }
    l->child[other->id] = child;
    say_result(l, child < 0 ? -1 : 0);
}
static void op_wait(struct lane *l, struct operation *o)
{
    int other = (int)number(o, 1) % LANES;
    if (l->child[other] > 0) wait_for(l, l->child[other]);
    l->child[other] = 0;
}

static void op_exec(struct lane *l, struct operation *o)
{
    struct lane *other = &lanes[number(o, 1) % LANES];
    pid_t child = fork();
    if (child == 0) become(l, other);
    wait_for(l, child);
}
static void op_vfork(struct lane *l, struct operation *o)
{
    pid_t child = vfork();
    if (child == 0) become(l, &lanes[number(o, 1) % LANES]);
    wait_for(l, child);
}
static void op_become(struct lane *l, struct operation *o) { become(l, &lanes[number(o, 1) % LANES]); }

static const struct entry lane_operations[] = {
    {"thread", op_thread}, {"join", op_join}, {"fork", op_fork}, {"wait", op_wait},
    {"exec", op_exec}, {"vfork", op_vfork}, {"become", op_become}, {0, 0}};
static const struct entry *const every_operation[] = {lane_operations, descriptor_operations, memory_operations, stream_operations};

static function *find(const char *name)
{
    for (size_t i = 0; i < sizeof every_operation / sizeof *every_operation; i++)
        for (const struct entry *e = every_operation[i]; e->name; e++) if (!strcmp(e->name, name)) return e->call;
    fprintf(stderr, "sequence: %s is no operation\n", name);
    exit(2);
}

static void run(struct lane *l)
{
    for (int i = 0; i < l->count; i++) {
        struct operation *o = &l->operations[i];
        snprintf(l->text, sizeof l->text, "%d.%d", l->id, o->number);
        errno = 0;
        find(o->word[0])(l, o);
        say(l, "\n");
        if (write(1, l->text, strlen(l->text)) < 0) _exit(3);
    }
}

/* ---- the script ---- */

static struct operation *add(struct lane *l, char *line, int place)
{
    l->operations = realloc(l->operations, sizeof *l->operations * (size_t)(l->count + 1));
    struct operation *o = &l->operations[l->count++];
    *o = (struct operation){.number = place};
    char *rest = 0;
    for (char *w = strtok_r(strdup(line), " ", &rest); w && o->count < WORDS; w = strtok_r(0, " ", &rest)) o->word[o->count++] = w;
    return o;
}

static void load(const char *options[2])
{
    FILE *file = fopen(script, "re");
    if (!file) { perror(script); exit(2); }
    char line[8192];
    struct lane *l = &lanes[0];
    int place = 0;
    while (fgets(line, sizeof line, file)) {
        line[strcspn(line, "\n")] = 0;
        place++;
        if (!*line || *line == '#') continue;
        if (!strncmp(line, "lane ", 5)) l = &lanes[atoi(line + 5) % LANES];
        else if (!strncmp(line, "options", 7)) options[0] = strdup(line);
        else add(l, line, place);
    }
    fclose(file);
}

int main(int count, char **word)
{
    if (count < 3) return 2;
    program = word[0], script = word[1], directory = word[2];
    const char *options[2] = {"", 0};
    for (int i = 0; i < LANES; i++) {
        lanes[i].id = i;
        for (int s = 0; s < SLOTS; s++) lanes[i].fd[s] = -1;
    }
    load(options);
    tells_numbers = strstr(options[0], " numbers") != 0;
    model_directory = strstr(options[0], " relative") ? "" : directory;
    enum { NO_INPUT = 66 };  /* EX_NOINPUT of sysexits.h */
    if (!*model_directory && chdir(directory)) return perror(directory), NO_INPUT;
    struct sigaction bad = {.sa_handler = on_bad_access, .sa_flags = SA_NODEFER}, alarm = {.sa_handler = on_alarm};
    sigaction(SIGBUS, &bad, 0), sigaction(SIGSEGV, &bad, 0), sigaction(SIGALRM, &alarm, 0);
    if (strstr(options[0], " signals")) {
        struct itimerval often = {{0, 3000}, {0, 3000}};
        setitimer(ITIMER_REAL, &often, 0);
    }
    struct lane *first = &lanes[count > 3 ? atoi(word[3]) % LANES : 0];
    if (count > 4) {
        char *rest = word[4];
        for (int s = 0; s < SLOTS && *rest; s++, rest += *rest == ',') first->fd[s] = (int)strtol(rest, &rest, 10);
    }
    run(first);
    return 0;
}
