/* SPDX-License-Identifier: Apache-2.0 */
/* Messages on stderr. File and member names come from the web: control
 * characters in them are shown, not obeyed. The state is global because
 * stderr is; a mutex guards it. */
#include "log.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "hash.h"
#include "log_priv.h"

#define LINE_MAX_BYTES 4096
#define REPEATS_SHOWN 10u
#define SLOTS 256u
#define PROBES 8u

#define CLEAR_LINE "\r\033[K"

/* One text that was logged: how often, and enough of it for the summary. */
struct slot {
	uint64_t hash;         /* 0 = free */
	uint64_t count;
	enum pl_log_level level;
	char text[200];
};

static struct {
	pthread_mutex_t mutex;
	const char *tool;
	int rank;
	enum pl_log_level level;
	bool live;             /* a progress line is on the terminal */
	struct slot slots[SLOTS];
} state = { .mutex = PTHREAD_MUTEX_INITIALIZER, .tool = "plait", .rank = -1, .level = PL_LOG_INFO };

static void write_bytes(const char *p, size_t len)
{
	ssize_t n;

	/* A second write happens only if the first one was cut short. */
	while (len > 0) {
		n = write(STDERR_FILENO, p, len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return;   /* nowhere left to complain */
		p += n;
		len -= (size_t)n;
	}
}

/* Room that one escaped character may need. */
#define ESCAPE_BYTES 4u

/* Append text to line[*used] with control characters as \xNN; what does not fit is cut. */
static void append_escaped(char *line, size_t size, size_t *used, const char *text)
{
	const unsigned char *p = (const unsigned char *)text;

	for (; *p != '\0' && *used + ESCAPE_BYTES < size; p++) {
		/* 0xC2 0x80..0x9F are the C1 controls in UTF-8; 0x9B alone is CSI to some terminals. */
		bool c1 = *p == 0xC2 && p[1] >= 0x80 && p[1] <= 0x9F;

		if (*p < 0x20 || *p == 0x7F || c1) {
			snprintf(line + *used, ESCAPE_BYTES + 1, "\\x%02X", *p);
			*used += ESCAPE_BYTES;
		} else {
			line[(*used)++] = (char)*p;
		}
	}
	line[*used] = '\0';
}

/* With the mutex held. */
static void put_line(const char *text)
{
	char line[LINE_MAX_BYTES];
	size_t used = 0;

	if (state.live) {
		memcpy(line, CLEAR_LINE, sizeof(CLEAR_LINE) - 1);
		used = sizeof(CLEAR_LINE) - 1;
		state.live = false;
	}
	append_escaped(line, sizeof(line) - 1, &used, text);
	line[used++] = '\n';
	write_bytes(line, used);
}

static void put_message(enum pl_log_level level, const char *text, uint64_t more)
{
	static const char *const words[] = {
		[PL_LOG_ERROR] = "error: ", [PL_LOG_WARNING] = "warning: ", [PL_LOG_INFO] = "",
		[PL_LOG_DEBUG] = "debug: ",
	};
	char line[LINE_MAX_BYTES], rank[16] = "", tail[48] = "";

	if (state.rank >= 0)
		snprintf(rank, sizeof(rank), "[%d]", state.rank);
	if (more > 0)
		snprintf(tail, sizeof(tail), " ... (%" PRIu64 " more like this)", more);
	snprintf(
	    line, sizeof(line), "%s%s: %s%.3900s%s", state.tool, rank, words[level], text, tail);
	put_line(line);
}

static void slot_close(struct slot *s)
{
	if (s->hash != 0 && s->count > REPEATS_SHOWN)
		put_message(s->level, s->text, s->count - REPEATS_SHOWN);
	s->hash = 0;
}

/* Count one more message with this text; should it be shown? */
static bool count_text(enum pl_log_level level, const char *text)
{
	uint64_t hash = pl_hash64(text, strlen(text)) | 1u;
	struct slot *s, *rarest = NULL;
	size_t i;

	for (i = 0; i < PROBES; i++) {
		s = &state.slots[(hash / 2 + i) % SLOTS];
		if (s->hash == hash && s->level == level)
			return ++s->count <= REPEATS_SHOWN;
		if (rarest == NULL ||
		    (rarest->hash != 0 && (s->hash == 0 || s->count < rarest->count)))
			rarest = s;
	}
	slot_close(rarest);
	rarest->hash = hash;
	rarest->count = 1;
	rarest->level = level;
	snprintf(rarest->text, sizeof(rarest->text), "%s", text);
	return true;
}

/* kind: what counts as the same message; text: what is shown. */
static void log_text(enum pl_log_level level, const char *kind, const char *text)
{
	pthread_mutex_lock(&state.mutex);
	if (count_text(level, kind))
		put_message(level, text, 0);
	pthread_mutex_unlock(&state.mutex);
}

void pl_log_setup(const char *tool, int rank, enum pl_log_level level)
{
	pthread_mutex_lock(&state.mutex);
	state.tool = tool;
	state.rank = rank;
	state.level = level;
	pthread_mutex_unlock(&state.mutex);
}

void pl_log(enum pl_log_level level, const char *fmt, ...)
{
	char text[LINE_MAX_BYTES];
	va_list ap;

	if (level > state.level)
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	log_text(level, text, text);
}

void pl_log_answer(const char *fmt, ...)
{
	char text[LINE_MAX_BYTES];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	pthread_mutex_lock(&state.mutex);
	put_message(PL_LOG_INFO, text, 0);
	pthread_mutex_unlock(&state.mutex);
}

void pl_log_err(enum pl_log_level level, const struct pl_err *err)
{
	char text[LINE_MAX_BYTES];

	if (level > state.level)
		return;
	/* The same fault in a thousand files is one kind of message. */
	log_text(level, err->text, pl_err_format(err, text, sizeof(text)));
}

void pl_log_flush(void)
{
	size_t i;

	pthread_mutex_lock(&state.mutex);
	for (i = 0; i < SLOTS; i++)
		slot_close(&state.slots[i]);
	pthread_mutex_unlock(&state.mutex);
}

void pl_log_line(const char *text)
{
	pthread_mutex_lock(&state.mutex);
	put_line(text);
	pthread_mutex_unlock(&state.mutex);
}

void pl_log_live(const char *text)
{
	char line[512];
	size_t used = sizeof(CLEAR_LINE) - 1;

	pthread_mutex_lock(&state.mutex);
	if (state.live || text[0] != '\0') {
		memcpy(line, CLEAR_LINE, used);
		append_escaped(line, sizeof(line), &used, text);
		write_bytes(line, used);
	}
	state.live = text[0] != '\0';
	pthread_mutex_unlock(&state.mutex);
}

int pl_log_columns(void)
{
	struct winsize ws;

	if (!isatty(STDERR_FILENO))
		return 0;
	if (ioctl(STDERR_FILENO, TIOCGWINSZ, &ws) != 0 || ws.ws_col < 20)
		return 80;
	return ws.ws_col;
}
