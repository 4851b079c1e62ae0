#include "password.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

enum { INTERRUPT = 3 }; /* what control and C make of a terminal that sends no signals */

/* ---------------------------------------------------------------------------------------- a file -- */

static int check_rights(int fd, const char *path, struct err *err)
{
    struct stat status;
    if (fstat(fd, &status) < 0)
        return err_set_sys(err, errno, "%s", path);
    if (!S_ISREG(status.st_mode))
        return err_set(err, ERR_INVALID, "%s: not a regular file", path);
    if (status.st_uid != geteuid() && status.st_uid != 0)
        return err_set(err, ERR_DENIED, "%s: it belongs to user %u, not to us", path,
                       (unsigned)status.st_uid);
    return (status.st_mode & 077) == 0
               ? 0
               : err_set(err, ERR_DENIED, "%s: it holds a password and has mode %04o; make it 0600",
                         path, (unsigned)status.st_mode & 07777);
}

/* At most PASSWORD_MAX bytes, so that one that is too long shows. */
static ptrdiff_t read_up(int fd, char *out)
{
    size_t len = 0;
    while (len < PASSWORD_MAX) {
        ssize_t more = read(fd, out + len, PASSWORD_MAX - len);
        if (more < 0 && errno == EINTR)
            continue;
        if (more < 0)
            return -1;
        if (more == 0)
            break;
        len += (size_t)more;
    }
    return (ptrdiff_t)len;
}

static int read_line(int fd, const char *path, char *out, struct err *err)
{
    ptrdiff_t len = read_up(fd, out);
    if (len < 0)
        return err_set_sys(err, errno, "%s", path);
    if (len == PASSWORD_MAX)
        return err_set(err, ERR_LIMIT, "%s: more than %d bytes", path, PASSWORD_MAX - 1);
    out[len] = '\0';
    if (strlen(out) != (size_t)len)
        return err_set(err, ERR_INVALID, "%s: it is no text", path);
    size_t line = strcspn(out, "\r\n");
    if (out[line + strspn(out + line, "\r\n")] != '\0')
        return err_set(err, ERR_INVALID, "%s: it has more than one line", path);
    out[line] = '\0';
    return 0;
}

int password_read_file(const char *path, char out[PASSWORD_MAX], struct err *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0 && errno == ENOENT)
        return err_set(err, ERR_NOT_FOUND, "%s: there is no such file", path);
    if (fd < 0)
        return err_set_sys(err, errno, "%s", path);
    int result = check_rights(fd, path, err);
    if (result == 0)
        result = read_line(fd, path, out, err);
    close(fd);
    return result;
}

/* ---------------------------------------------------------------------------------- the terminal -- */

static void say(int fd, const char *text)
{
    /* Where a prompt cannot be seen, reading fails, too. */
    ssize_t written = write(fd, text, strlen(text));
    (void)written;
}

/* Until there is a line, or a signal, which is left to come when the terminal is as it was. */
static int wait_line(int fd, int signals, struct err *err)
{
    struct pollfd waited[] = {{.fd = fd, .events = POLLIN}, {.fd = signals, .events = POLLIN}};
    int result;
    do
        result = poll(waited, 2, -1);
    while (result < 0 && errno == EINTR);
    if (result < 0)
        return err_set_sys(err, errno, "the terminal");
    return waited[1].revents == 0 ? 0 : err_set(err, ERR_DENIED, "no password was given");
}

/* One line; the terminal gives whole ones. */
static int take_line(int fd, int signals, char *out, struct err *err)
{
    ssize_t len;
    if (wait_line(fd, signals, err) < 0)
        return -1;
    do
        len = read(fd, out, PASSWORD_MAX);
    while (len < 0 && errno == EINTR);
    say(fd, "\n");
    if (len < 0)
        return err_set_sys(err, errno, "the terminal");
    if (len == PASSWORD_MAX)
        return err_set(err, ERR_LIMIT, "the password is too long");
    if (len == 0 || out[0] == '\n' || out[len - 1] == INTERRUPT)
        return err_set(err, ERR_DENIED, "no password was given");
    out[len] = '\0';
    out[strcspn(out, "\r\n")] = '\0';
    return 0;
}

static int ask_twice(int fd, int signals, const char *what, char *out, struct err *err)
{
    char again[PASSWORD_MAX] = "", prompt[160];
    snprintf(prompt, sizeof(prompt), "%s: ", what);
    say(fd, prompt);
    int result = take_line(fd, signals, out, err);
    if (result == 0) {
        snprintf(prompt, sizeof(prompt), "%s, once more: ", what);
        say(fd, prompt);
        result = take_line(fd, signals, again, err);
        if (result == 0 && strcmp(out, again) != 0)
            result = err_set(err, ERR_INVALID, "the two passwords differ");
    }
    explicit_bzero(again, sizeof(again));
    return result;
}

static int ask_silently(int fd, int signals, const char *what, char *out, struct err *err)
{
    struct termios before, silent;
    if (tcgetattr(fd, &before) < 0)
        return err_set_sys(err, errno, "the terminal");
    silent = before;
    silent.c_lflag &= ~(tcflag_t)(ECHO | ECHONL | ISIG);
    silent.c_lflag |= ICANON;
    /* Sends no signal now, but ends the line. */
    silent.c_cc[VEOL] = INTERRUPT;
    if (tcsetattr(fd, TCSAFLUSH, &silent) < 0)
        return err_set_sys(err, errno, "the terminal");
    int result = ask_twice(fd, signals, what, out, err);
    tcsetattr(fd, TCSAFLUSH, &before);
    return result;
}

/* What is blocked, and would end the program, is heard of all the same. */
static int ask_on(int fd, const char *what, char *out, struct err *err)
{
    sigset_t ending;
    sigemptyset(&ending);
    sigaddset(&ending, SIGHUP);
    sigaddset(&ending, SIGINT);
    sigaddset(&ending, SIGQUIT);
    sigaddset(&ending, SIGTERM);
    int signals = signalfd(-1, &ending, SFD_CLOEXEC | SFD_NONBLOCK);
    if (signals < 0)
        return err_set_sys(err, errno, "signals");
    int result = ask_silently(fd, signals, what, out, err);
    close(signals);
    return result;
}

int password_ask(const char *what, char out[PASSWORD_MAX], struct err *err)
{
    sigset_t all, before;
    int fd = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);
    if (fd < 0)
        return err_set(err, ERR_NOT_FOUND, "there is no terminal to ask for the password on");
    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, &before);
    int result = ask_on(fd, what, out, err);
    sigprocmask(SIG_SETMASK, &before, NULL);
    close(fd);
    return result;
}
