/*
 * Preloaded into a process that writes a store: notes every write to data.mdb and every sync of it,
 * in order, before or after the call as its guarantee demands. SETTLE_RECORDING names the log;
 * records are laid out in recording.rs. SETTLE_FORGET_SYNC takes a kind of sync out of the log, which
 * is what a build without it would leave behind: "data" (fdatasync), "meta" (O_DSYNC) or "all".
 *
 * SETTLE_FAIL lets one call fail instead, the third of its kind: "data" (fdatasync, EIO), "meta" (write
 * of a meta page, EIO) or "full" (write of a data page, ENOSPC, twice).
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

#define FD_MAX 4096
enum { WRITE = 1, SYNC = 2, SYNC_LAST_WRITE = 3, LENGTH = 4 };
enum { NOT_DATA = 0, PLAIN = 1, SYNCED = 2 };

static char kind_of_fd[FD_MAX];
static int log_fd = -1;
static int forget_data, forget_meta;
static const char *failing = "";

__attribute__((constructor)) static void start(void)
{
	const char *path = getenv("SETTLE_RECORDING");
	const char *forget = getenv("SETTLE_FORGET_SYNC");
	if (getenv("SETTLE_FAIL"))
		failing = getenv("SETTLE_FAIL");
	if (path)
		log_fd = (int)syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_APPEND | O_CREAT, 0600);
	if (forget) {
		forget_data = !strcmp(forget, "data") || !strcmp(forget, "all");
		forget_meta = !strcmp(forget, "meta") || !strcmp(forget, "all");
	}
}

/* One record in one call, so that records of several threads do not mix. */
static void note(uint8_t kind, uint64_t offset, const struct iovec *parts, int count)
{
	struct iovec all[1 + 64];
	struct __attribute__((packed)) { uint8_t kind; uint64_t offset; uint32_t length; } head;
	uint64_t length = 0;
	if (log_fd < 0)
		return;
	if (count > 64)
		abort();
	for (int i = 0; i < count; i++) {
		all[1 + i] = parts[i];
		length += parts[i].iov_len;
	}
	head.kind = kind;
	head.offset = offset;
	head.length = (uint32_t)length;
	all[0].iov_base = &head;
	all[0].iov_len = sizeof head;
	if (syscall(SYS_writev, log_fd, all, 1 + count) != (long)(sizeof head + length))
		abort();
}

static char kind(int fd)
{
	return fd >= 0 && fd < FD_MAX ? kind_of_fd[fd] : NOT_DATA;
}

static int opened(int fd, const char *path, int flags)
{
	size_t length = strlen(path);
	if (fd >= 0 && fd < FD_MAX) {
		int is_data = length >= 9 && !strcmp(path + length - 9, "/data.mdb");
		kind_of_fd[fd] = !is_data ? NOT_DATA : (flags & O_DSYNC) ? SYNCED : PLAIN;
	}
	return fd;
}

static int open_any(int at, const char *path, int flags, va_list rest)
{
	unsigned mode = 0;
	if (flags & (O_CREAT | __O_TMPFILE))
		mode = va_arg(rest, unsigned);
	return opened((int)syscall(SYS_openat, at, path, flags, mode), path, flags);
}

#define OPEN(name) \
	int name(const char *path, int flags, ...) \
	{ va_list rest; va_start(rest, flags); int fd = open_any(AT_FDCWD, path, flags, rest); va_end(rest); return fd; }
#define OPENAT(name) \
	int name(int at, const char *path, int flags, ...) \
	{ va_list rest; va_start(rest, flags); int fd = open_any(at, path, flags, rest); va_end(rest); return fd; }
OPEN(open) OPEN(open64) OPENAT(openat) OPENAT(openat64)

int close(int fd)
{
	if (fd >= 0 && fd < FD_MAX)
		kind_of_fd[fd] = NOT_DATA;
	return (int)syscall(SYS_close, fd);
}

static int fails(const char *what, int error)
{
	static int count;
	if (strcmp(failing, what))
		return 0;
	/* What did not fit is tried once more, alone. */
	if (++count != 3 && !(count == 4 && error == ENOSPC))
		return 0;
	errno = error;
	return 1;
}

static void before_write(int fd, off_t offset, const struct iovec *parts, int count)
{
	if (kind(fd) != NOT_DATA)
		note(WRITE, (uint64_t)offset, parts, count);
}

static void after_write(int fd)
{
	if (kind(fd) == SYNCED && !forget_meta)
		note(SYNC_LAST_WRITE, 0, NULL, 0);
}

static ssize_t position_write(int fd, const void *bytes, size_t length, off_t offset)
{
	struct iovec part = { (void *)bytes, length };
	if ((kind(fd) == SYNCED && fails("meta", EIO)) || (kind(fd) == PLAIN && fails("full", ENOSPC)))
		return -1;
	before_write(fd, offset, &part, 1);
	ssize_t written = syscall(SYS_pwrite64, fd, bytes, length, offset);
	after_write(fd);
	return written;
}

ssize_t pwrite(int fd, const void *bytes, size_t length, off_t offset)
{
	return position_write(fd, bytes, length, offset);
}

ssize_t pwrite64(int fd, const void *bytes, size_t length, off_t offset)
{
	return position_write(fd, bytes, length, offset);
}

ssize_t write(int fd, const void *bytes, size_t length)
{
	struct iovec part = { (void *)bytes, length };
	if (kind(fd) != NOT_DATA)
		before_write(fd, lseek(fd, 0, SEEK_CUR), &part, 1);
	ssize_t written = syscall(SYS_write, fd, bytes, length);
	after_write(fd);
	return written;
}

ssize_t writev(int fd, const struct iovec *parts, int count)
{
	if (kind(fd) != NOT_DATA)
		before_write(fd, lseek(fd, 0, SEEK_CUR), parts, count);
	ssize_t written = syscall(SYS_writev, fd, parts, count);
	after_write(fd);
	return written;
}

/* LMDB does not use these in the mode we open it in; should it start to, the test has to know. */
ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t offset)
{
	if (kind(fd) != NOT_DATA)
		abort();
	return syscall(SYS_pwritev, fd, parts, count, offset, 0);
}

int msync(void *start, size_t length, int flags)
{
	(void)start, (void)length, (void)flags;
	abort();
}

int ftruncate(int fd, off_t length)
{
	if (kind(fd) != NOT_DATA)
		note(LENGTH, (uint64_t)length, NULL, 0);
	return (int)syscall(SYS_ftruncate, fd, length);
}

int ftruncate64(int fd, off_t length)
{
	return ftruncate(fd, length);
}

int fdatasync(int fd)
{
	if (kind(fd) != NOT_DATA && fails("data", EIO))
		return -1;
	int result = (int)syscall(SYS_fdatasync, fd);
	if (kind(fd) != NOT_DATA && result == 0 && !forget_data)
		note(SYNC, 0, NULL, 0);
	return result;
}

int fsync(int fd)
{
	int result = (int)syscall(SYS_fsync, fd);
	if (kind(fd) != NOT_DATA && result == 0 && !forget_data)
		note(SYNC, 0, NULL, 0);
	return result;
}
