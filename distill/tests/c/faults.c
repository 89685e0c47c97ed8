/* For LD_PRELOAD: counts the calls by which a process touches files under one folder, and makes one of them fail, or the process end there.
 *
 *   FAULT_ROOT   the folder (absolute); calls on anything else pass uncounted
 *   FAULT_AT     the number of the call, from 1; none: only the log is written
 *   FAULT_KIND   enospc, eio: the call fails with that error and does nothing
 *                short: a write writes half, and the next one to the same file fails with ENOSPC; other calls pass
 *                full: as a full disk: from this call on, what makes files or writes to them fails with ENOSPC
 *                a number: the process gets that signal before the call; torn: SIGKILL after half of a write
 *   FAULT_LOG    a file outside of the folder: one line a call, "number name path", and " !" after the one that was meddled with
 *
 * What is not counted: close, stat and their like, which lose nothing here.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum { FILES = 65536 };
enum fault { PASS, FAIL, SHORT };

static atomic_long calls;
/* The paths of open files under the folder. */
static char *paths[FILES];
/* One more than the file whose next write fails. */
static atomic_int full;

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static const char *setting(const char *name) {
    const char *value = getenv(name);
    return value ? value : "";
}

static int under(const char *path) {
    const char *root = setting("FAULT_ROOT");
    size_t length = strlen(root);
    return path && length && !strncmp(path, root, length) && (path[length] == '/' || !path[length]);
}

static const char *path_of(int file) { return file >= 0 && file < FILES ? paths[file] : NULL; }

/* The path that a call means, if it is under the folder. */
static const char *meant(int folder, const char *path, char *buffer) {
    if (path && path[0] != '/' && path_of(folder)) {
        snprintf(buffer, PATH_MAX, "%s/%s", path_of(folder), path);
        return buffer;
    }
    return under(path) ? path : NULL;
}

static void send_signal(int number) {
    syscall(SYS_kill, syscall(SYS_getpid), number);
    while (number == SIGKILL) pause();
}

/* What a call does to the disk. */
enum effect { OTHER, MAKES, WRITES };

/* Counts a call on a path of the folder, and says what becomes of it. */
static enum fault count(const char *name, const char *path, enum effect effect) {
    long number = atomic_fetch_add(&calls, 1) + 1;
    const char *kind = setting("FAULT_KIND");
    long at = atol(setting("FAULT_AT"));
    int half = !strcmp(kind, "short") || !strcmp(kind, "torn");
    int here = number == at && (effect == WRITES || !half);
    if (!strcmp(kind, "full")) here = at && number >= at && effect != OTHER;
    static atomic_int log_file = -1;
    if (atomic_load(&log_file) < 0 && *setting("FAULT_LOG"))
        atomic_store(&log_file, (int)syscall(SYS_openat, AT_FDCWD, setting("FAULT_LOG"), O_WRONLY | O_CREAT | O_APPEND, 0666));
    char line[PATH_MAX + 64];
    int length = snprintf(line, sizeof line, "%ld %s %s%s\n", number, name, path, here ? " !" : "");
    if (atomic_load(&log_file) >= 0) syscall(SYS_write, atomic_load(&log_file), line, (size_t)length);
    if (!here) return PASS;
    if (half) return SHORT;
    if (atoi(kind)) {
        send_signal(atoi(kind));
        return PASS;
    }
    errno = !strcmp(kind, "eio") ? EIO : ENOSPC;
    return FAIL;
}

static void opened(int file, const char *path) {
    if (file >= 0 && file < FILES) paths[file] = path ? strdup(path) : NULL;
}

static int open_any(int folder, const char *path, int flags, mode_t mode, const char *name) {
    char buffer[PATH_MAX];
    const char *where = meant(folder, path, buffer);
    if (where && count(name, where, flags & O_CREAT ? MAKES : OTHER) == FAIL) return -1;
    int file = REAL(openat)(folder, path, flags, mode);
    opened(file, where);
    return file;
}

#define MODE(flags)                                    \
    mode_t mode = 0;                                   \
    if ((flags) & (O_CREAT | (O_TMPFILE & ~O_DIRECTORY))) { \
        va_list more;                                  \
        va_start(more, flags);                         \
        mode = va_arg(more, mode_t);                   \
        va_end(more);                                  \
    }

int open(const char *path, int flags, ...) { MODE(flags) return open_any(AT_FDCWD, path, flags, mode, "open"); }
int open64(const char *path, int flags, ...) { MODE(flags) return open_any(AT_FDCWD, path, flags, mode, "open"); }
int openat(int folder, const char *path, int flags, ...) { MODE(flags) return open_any(folder, path, flags, mode, "open"); }
int openat64(int folder, const char *path, int flags, ...) { MODE(flags) return open_any(folder, path, flags, mode, "open"); }
int creat(const char *path, mode_t mode) { return open_any(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode, "open"); }
int creat64(const char *path, mode_t mode) { return creat(path, mode); }

int close(int file) {
    if (path_of(file)) {
        free(paths[file]);
        paths[file] = NULL;
    }
    return REAL(close)(file);
}

DIR *opendir(const char *path) {
    if (under(path) && count("opendir", path, OTHER) == FAIL) return NULL;
    return REAL(opendir)(path);
}

/* A call on an open file that cannot be done by halves. */
#define ON_FILE(type, failed, name, file, parameters, arguments)                        \
    type name parameters {                                                              \
        if (path_of(file) && count(#name, path_of(file), OTHER) == FAIL) return (type)failed; \
        return REAL(name) arguments;                                                    \
    }

ON_FILE(int, -1, fsync, file, (int file), (file))
ON_FILE(int, -1, fdatasync, file, (int file), (file))
ON_FILE(int, -1, ftruncate, file, (int file, off_t length), (file, length))
ON_FILE(int, -1, ftruncate64, file, (int file, off64_t length), (file, length))
ON_FILE(int, -1, fallocate, file, (int file, int mode, off_t at, off_t length), (file, mode, at, length))
ON_FILE(int, -1, flock, file, (int file, int how), (file, how))
ON_FILE(ssize_t, -1, read, file, (int file, void *to, size_t length), (file, to, length))
ON_FILE(ssize_t, -1, pread64, file, (int file, void *to, size_t length, off64_t at), (file, to, length, at))
ON_FILE(ssize_t, -1, pread, file, (int file, void *to, size_t length, off_t at), (file, to, length, at))
ON_FILE(ssize_t, -1, sendfile, to, (int to, int from, off_t *at, size_t length), (to, from, at, length))
ON_FILE(ssize_t, -1, copy_file_range, to, (int from, off64_t *a, int to, off64_t *b, size_t length, unsigned flags), (from, a, to, b, length, flags))

/* What is left of a write's length; -1: it fails. */
static ssize_t write_fault(const char *name, int file, size_t length) {
    const char *path = path_of(file);
    if (!path) return (ssize_t)length;
    if (atomic_load(&full) == file + 1) {
        atomic_store(&full, 0);
        errno = ENOSPC;
        return -1;
    }
    switch (count(name, path, WRITES)) {
    case FAIL: return -1;
    case SHORT:
        if (strcmp(setting("FAULT_KIND"), "torn")) atomic_store(&full, file + 1);
        return (ssize_t)(length / 2);
    default: return (ssize_t)length;
    }
}

/* After half of a write. */
static ssize_t torn(ssize_t left, size_t length, ssize_t written) {
    if ((size_t)left != length && !strcmp(setting("FAULT_KIND"), "torn")) send_signal(SIGKILL);
    return written;
}

ssize_t write(int file, const void *from, size_t length) {
    ssize_t left = write_fault("write", file, length);
    return left < 0 ? -1 : torn(left, length, REAL(write)(file, from, (size_t)left));
}

ssize_t pwrite(int file, const void *from, size_t length, off_t at) {
    ssize_t left = write_fault("pwrite", file, length);
    return left < 0 ? -1 : torn(left, length, REAL(pwrite)(file, from, (size_t)left, at));
}

ssize_t pwrite64(int file, const void *from, size_t length, off64_t at) {
    ssize_t left = write_fault("pwrite", file, length);
    return left < 0 ? -1 : torn(left, length, REAL(pwrite64)(file, from, (size_t)left, at));
}

/* By halves: the first piece alone. */
ssize_t writev(int file, const struct iovec *pieces, int count_of_pieces) {
    ssize_t left = write_fault("writev", file, 2);
    if (left < 0) return -1;
    return torn(left, 2, REAL(writev)(file, pieces, left == 1 ? 1 : count_of_pieces));
}

/* A call on one or two paths. */
#define ON_PATH(name, effect, folder, path, parameters, arguments)                \
    int name parameters {                                                         \
        char buffer[PATH_MAX];                                                    \
        const char *where = meant(folder, path, buffer);                          \
        if (where && count(#name, where, effect) == FAIL) return -1;              \
        return REAL(name) arguments;                                              \
    }

ON_PATH(rename, OTHER, AT_FDCWD, to, (const char *from, const char *to), (from, to))
ON_PATH(renameat, OTHER, b, to, (int a, const char *from, int b, const char *to), (a, from, b, to))
ON_PATH(renameat2, OTHER, b, to, (int a, const char *from, int b, const char *to, unsigned flags), (a, from, b, to, flags))
ON_PATH(link, MAKES, AT_FDCWD, to, (const char *from, const char *to), (from, to))
ON_PATH(linkat, MAKES, b, to, (int a, const char *from, int b, const char *to, int flags), (a, from, b, to, flags))
ON_PATH(symlink, MAKES, AT_FDCWD, to, (const char *from, const char *to), (from, to))
ON_PATH(unlink, OTHER, AT_FDCWD, path, (const char *path), (path))
ON_PATH(unlinkat, OTHER, folder, path, (int folder, const char *path, int flags), (folder, path, flags))
ON_PATH(rmdir, OTHER, AT_FDCWD, path, (const char *path), (path))
ON_PATH(mkdir, MAKES, AT_FDCWD, path, (const char *path, mode_t mode), (path, mode))
ON_PATH(mkdirat, MAKES, folder, path, (int folder, const char *path, mode_t mode), (folder, path, mode))
ON_PATH(truncate, OTHER, AT_FDCWD, path, (const char *path, off_t length), (path, length))
